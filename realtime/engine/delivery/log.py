"""The reads of a log that the engine needs, for the logs of rooms and of topics alike."""

from collections.abc import Iterable
from typing import Any, Protocol

from ...store.logs import Changes, LogMark

__all__ = ["Log", "find_marks", "read_marks"]


class Log(Protocol):
    """One log in the database; its methods run queries."""

    def __hash__(self) -> int: ...

    @property
    def key(self) -> str:
        """The log key, which is also the name of the topic in the channel layer."""

    def since(self, position: int, limit: int) -> Changes[Any]:
        """Return the changes after a position, oldest first."""

    def newest(self, limit: int) -> Changes[Any]:
        """Return the last changes, oldest first."""

    def older(self, position: int, limit: int) -> Changes[Any]:
        """Return the last changes up to a position, oldest first."""

    def mark(self) -> LogMark:
        """Return the end of the log."""

    def renew_epoch(self, known: str) -> None:
        """Begin a new epoch unless it is no longer the known one."""

    @staticmethod
    def marks(logs: Iterable[Any]) -> dict[str, LogMark]:
        """Return the ends of many logs of this class by log key, without those that are gone."""


def read_marks(logs: Iterable[Log]) -> dict[str, LogMark]:
    """Return the ends of logs by log key, with one query or a few for each class of logs."""
    kinds: dict[type[Log], list[Log]] = {}
    for log in logs:
        kinds.setdefault(type(log), []).append(log)
    found: dict[str, LogMark] = {}
    for kind, some in kinds.items():
        found |= kind.marks(some)
    return found


def find_marks(logs: list[Log]) -> dict[Log, LogMark]:
    """Return the ends of logs by log, for `Database.load`."""
    found = read_marks(logs)
    return {log: found[log.key] for log in logs if log.key in found}
