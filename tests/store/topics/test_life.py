"""A topic's log on another primary: the first writer begins a new epoch."""

from collections.abc import Callable

import pytest
from django.db import connection

from realtime.models import Log
from realtime.store.database import life
from realtime.store.outbox import topic_numbering
from realtime.store.topics.entries import TopicLog

from ..outbox.publishing import TOPIC, append, deletion, event, publish, rights, value

OTHER = "7000000000000000000:00000001:5"


def now() -> str:
    """The life of the database of this test; empty on SQLite."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {life.expression('default')}")
        return str(cursor.fetchone()[0])


def row(topic: str = TOPIC) -> tuple[str, str]:
    log = Log.objects.get(name=topic)
    return log.epoch, log.life


def _publish() -> None:
    publish(event("b"))
    topic_numbering.number([TOPIC])


WRITERS = {
    "append": lambda: append(event("b")),
    "set": lambda: append(value("b")),
    "delete": lambda: append(deletion("a")),
    "rights": lambda: append(rights()),
    "pending": _publish,
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_whoever_writes_in_another_life_begins_a_new_epoch(
    write: Callable[[], object], is_postgres: bool
) -> None:
    append(value("a"))
    before, first = row()
    assert first == now()
    Log.objects.update(life=OTHER)
    write()
    after, stored = row()
    assert (after != before) is is_postgres
    assert stored == (now() or OTHER)
    write()
    assert row() == (after, stored)


def test_the_result_of_an_append_has_the_new_epoch(is_postgres: bool) -> None:
    append(event("a"), event("a", "order/8"))
    before, other = row()[0], row("order/8")[0]
    Log.objects.filter(name=TOPIC).update(life=OTHER)
    found = append(event("b"), event("b", "order/8"))
    assert [one.epoch for one in found] == [row()[0], other]
    assert (found[0].epoch != before) is is_postgres


def test_a_log_without_a_life_keeps_its_epoch() -> None:
    append(event("a"))
    before, _ = row()
    Log.objects.update(life="")
    append(event("b"))
    assert row() == (before, now())


def test_a_renewed_epoch_has_the_current_life() -> None:
    append(event("a"))
    Log.objects.update(life=OTHER)
    TopicLog(TOPIC).renew_epoch(row()[0])
    renewed, stored = row()
    assert stored == now()
    append(event("b"))
    assert row() == (renewed, stored)
