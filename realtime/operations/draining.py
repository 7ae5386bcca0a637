"""Let server processes move their clients to other processes, and serve again.

    draining.drain(["9d6c58e6bec3"], seconds=60, by=request.user)
    draining.serve(["9d6c58e6bec3"], by=request.user)

Each takes effect within a second of its commit. The caller checks permissions. A process that has
ended, and the one that is started in its place, is another node, which serves.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from ..engine.bus.notes import NodeChanged
from ..engine.notify import notify
from ..models import Node
from ..store import draining
from ..store.accounts.identity import Identity
from ..store.database.servers import on_working_server
from ..store.database.transactions import on_commit

__all__ = ["MOST_SECONDS", "SECONDS", "drain", "serve"]

SECONDS = 20
MOST_SECONDS = 24 * 60 * 60


def drain(nodes: Iterable[str], *, seconds: int = SECONDS, by: Any = None) -> Sequence[Node]:
    """Let processes refuse new clients, and close those that they have within so many seconds.

    Returns the nodes that drain now; those whose process has ended are left out.
    """
    if not 0 <= seconds <= MOST_SECONDS:
        raise ValueError(f"seconds must be from 0 to {MOST_SECONDS}, not {seconds}")
    return _change(nodes, seconds, by)


def serve(nodes: Iterable[str], *, by: Any = None) -> Sequence[Node]:
    """Let processes that drain accept clients again; return them."""
    return _change(nodes, None, by)


@on_working_server
def _change(nodes: Iterable[str], seconds: int | None, by: Any) -> Sequence[Node]:
    found = draining.change(nodes, seconds, None if by is None else Identity.of(by))
    on_commit(partial(_tell, found))
    return found


def _tell(nodes: Iterable[Node]) -> None:
    for one in nodes:
        notify(f"node.{one.pk}", NodeChanged())
