"""Find the topics of a process that differ from their logs in the database.

A process may have many thousands of topics, of which few change between two rounds of the pulse. So
all are compared in a thread, and only those that differ cost the event loop anything.
"""

from collections.abc import Sequence

from ...store.logs import LogMark
from .log import read_marks
from .topic import AnyLogTopic, State

__all__ = ["differences"]

TOPICS_AT_ONCE = 2000
"""The most topics that are compared between two queries: a query lets other threads run."""


def differences(topics: Sequence[AnyLogTopic]) -> tuple[dict[str, int], dict[str, LogMark]]:
    """Return the positions and the marks of the topics that differ from their logs, by log key.

    It runs in a thread, so a topic may move meanwhile: its position is from just before its mark. A
    log that is gone has no mark. Topics that are being opened are left out.
    """
    positions: dict[str, int] = {}
    marks: dict[str, LogMark] = {}
    for start in range(0, len(topics), TOPICS_AT_ONCE):
        chunk = topics[start : start + TOPICS_AT_ONCE]
        some = [topic for topic in chunk if topic.state is not State.OPENING]
        before = [topic.position.seq for topic in some]
        found = read_marks(topic.log for topic in some)
        for topic, position in zip(some, before, strict=True):
            mark = found.get(topic.name)
            if mark is None or position != mark.last_seq or topic.differs_from(mark):
                positions[topic.name] = position
                if mark is not None:
                    marks[topic.name] = mark
    return positions, marks
