"""The way of a connection into a topic: which positions continue, and later changes."""

import pytest

from realtime.engine.delivery.attachment import ATTEMPTS, Attachment, latest
from realtime.engine.delivery.entry_topic import EntryTopic
from realtime.errors import CommandError
from realtime.store.logs import Changes, LogMark
from realtime.wire.entries import EntryState
from tests.engine import topic_log
from tests.engine.ends import End
from tests.engine.process import Process
from tests.engine.topic_log import event

ORDER = "order/7"


def state(seq: int, key: str | None = None) -> EntryState:
    return EntryState(name="paid", seq=seq, key=key, at="2026-01-01T00:00:00.000Z")


async def opened(process: Process, *texts: str) -> EntryTopic:
    """A topic with these events, all of them in memory."""
    topic = await process.hub.open_topic(ORDER)
    for stored in await process.db.write(topic_log.publish, *[event(ORDER, one) for one in texts]):
        process.hub.publish_entry(stored)
    return topic


class Busy(Attachment[EntryTopic, str]):
    """The way into a topic that changes all the time, or for a while."""

    too_busy = "The topic is too busy."
    starts = 0
    until = ATTEMPTS + 1

    async def resume(self, since: object) -> str | None:
        return None

    async def start(self) -> str | None:
        type(self).starts += 1
        assert self.topic.readers == 1
        return "page" if self.starts >= self.until else None


@pytest.fixture(autouse=True)
def _busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Busy, "starts", 0)


@pytest.mark.parametrize("until", [1, ATTEMPTS])
async def test_a_start_is_tried_again_after_a_change(
    process: Process, monkeypatch: pytest.MonkeyPatch, until: int
) -> None:
    """Also after a resume that was not possible."""
    monkeypatch.setattr(Busy, "until", until)
    topic = await opened(process)
    way = Busy(process.hub, process.db, topic, End().connection)
    assert await way.attach("since") == "page"
    assert (Busy.starts, topic.readers) == (until, 0)


async def test_a_topic_that_changes_all_the_time_is_a_typed_error(process: Process) -> None:
    topic = await opened(process)
    with pytest.raises(CommandError, match="too busy") as found:
        await Busy(process.hub, process.db, topic, End().connection).attach(None)
    assert (found.value.code, found.value.retry_after) == ("unavailable", 1)
    assert (Busy.starts, topic.readers) == (ATTEMPTS, 0)


async def test_a_closed_topic_takes_no_connection(process: Process) -> None:
    """It gets no more events."""
    topic = await opened(process)
    process.hub._topics._remove(topic)
    with pytest.raises(CommandError, match="too busy"):
        await Busy(process.hub, process.db, topic, End().connection).attach(None)
    assert Busy.starts == 0


@pytest.mark.parametrize(
    ("end", "is_epoch", "purged", "continues"),
    [
        (2, True, 0, True),
        (0, True, 0, True),
        (3, True, 0, False),  # beyond the end
        (1, True, 2, False),  # purged
        (2, True, 2, True),
        (2, False, 0, False),
    ],
)
async def test_a_log_continues_from_positions_that_it_still_has(
    process: Process, end: int, is_epoch: bool, purged: int, continues: bool
) -> None:
    topic = await opened(process, "a", "b")
    topic.ring.purged_seq = purged
    way = Busy(process.hub, process.db, topic, End().connection)
    epoch = topic.position.epoch if is_epoch else "another"
    assert way.continues(epoch, end) is continues


async def test_later_changes_replace_what_the_database_had(process: Process) -> None:
    """A value that has changed since the query stands once, at its new position."""
    topic = await opened(process)
    topic.position.reset(3, "e1")
    for one in (state(1, "k"), state(2), state(3, "k")):
        topic.ring.add(one)
    changes = Changes([state(1, "k")], 1, LogMark(1, 0, 0, "e1"), has_more=False)
    found = latest(topic, changes)
    assert found is not None
    assert [(one.seq, one.key) for one in found] == [(2, None), (3, "k")]
    other = changes._replace(mark=LogMark(1, 0, 0, "e2"))
    assert latest(topic, other) is None
    topic.ring.purge(2)
    assert latest(topic, changes) is None  # some are missing
