"""Tracing one life: what a trace tells, when it is on, and who may see it."""

import logging
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import OperationalError
from django.db.models.functions import Now

from harness.waiting import eventually
from realtime import moderation
from realtime.auth import tickets
from realtime.engine.engine import Engine
from realtime.engine.tracing import bounds
from realtime.engine.tracing.feed import KEPT
from realtime.engine.tracing.life import TEXTS
from realtime.errors import CommandError, Disconnect
from realtime.models import Connection, Node, Room, Trace
from realtime.operations import tracing
from realtime.store import traces
from realtime.testing import Client, Refused, connect
from realtime.wire.packet import Packet
from tests.consumers.conftest import database, engine, room, sqlite_url

__all__ = ["database", "engine", "room", "sqlite_url"]

PAGE = (Path(__file__).parents[2] / "docs" / "tracing.md").read_text()
SECRET = "only for your eyes"


@pytest.fixture
def operator(database: str) -> Any:
    """A member of the staff who may trace."""
    user = get_user_model().objects.create_user("operator", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="add_trace"))
    return user


@pytest.fixture
def ada(database: str) -> Any:
    return get_user_model().objects.create_user("ada", first_name=SECRET)


@pytest.fixture
def kept() -> Iterator[list[logging.LogRecord]]:
    """The records of the logger of traces, at DEBUG."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("realtime.trace")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield records
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


class Watching:
    """A client of the topic of a trace."""

    def __init__(self, client: Client, trace: Trace) -> None:
        self.client = client
        self.topic = traces.topic_of(trace.pk)
        self.lines: list[dict[str, Any]] = []
        self.is_over = False

    async def until(self, event: str) -> dict[str, Any]:
        """Return the first line about this that was not asked for yet, and drop those before."""
        while True:
            while self.lines:
                if (line := self.lines.pop(0))["event"] == event:
                    return line
            await self.receive()

    async def receive(self) -> None:
        data = (await self.client.next("event", name="lines"))["data"]
        self.lines += data["lines"]
        self.is_over |= data["is_over"]


@pytest.fixture
async def watch(engine: Engine, operator: Any) -> AsyncIterator[Any]:
    """Starts a trace, and returns a client that watches it."""
    async with connect(operator) as client:

        async def start(subject: str, *, is_connection: bool = False) -> Watching:
            trace = await sync_to_async(tracing.start)(
                subject, is_connection=is_connection, by=operator
            )
            watching = Watching(client, trace)
            await client.subscribe(watching.topic)
            await eventually(lambda: trace.pk in engine.tracer._feeds)
            return watching

        yield start


async def test_a_life_is_told_from_its_begin_to_its_end(
    engine: Engine, room: Room, ada: Any, watch: Any, kept: list[Any]
) -> None:
    """With kinds and sizes, rights and codes; without contents, names and tokens."""
    watching = await watch(str(ada.pk))
    headers = {"X-Request-ID": "r-1", "User-Agent": "browser/1"}
    async with connect(ada, headers=headers, client=("198.51.100.7", 9)) as client:
        begin = await watching.until("begin")
        assert (begin["path"], begin["encoding"]) == ("/ws/", "realtime.v1.json")
        assert (begin["address"], begin["agent"]) == ("198.51.100.7", "browser/1")
        assert begin["request_id"] == "r-1"
        identified = await watching.until("identified")
        assert (identified["user"], identified["connection"]) == (str(ada.pk), begin["connection"])
        assert (await watching.until("sent"))["type"] == "welcome"
        await client.join("general")
        assert (await watching.until("received"))["type"] == "join"
        right = await watching.until("right")
        assert (right["room"], right["answer"]) == ("general", "join, post, signal")
        await client.message("general", SECRET)
        received = await watching.until("received")
        assert received["type"] == "message"
        assert received["bytes"] > len(SECRET)
        with pytest.raises(Refused):
            await client.join("nowhere")
        right = await watching.until("right")
        assert (right["room"], right["answer"]) == ("nowhere", "unknown_room")
        assert (await watching.until("sent"))["type"] == "error unknown_room"
    end = await watching.until("end")
    assert (end["reason"], end["code"]) == ("left", 1000)
    assert SECRET not in repr([(record.getMessage(), record.__dict__) for record in kept])
    fields = [record.realtime for record in kept]
    assert {(one["connection"], one["node"]) for one in fields} == {
        (begin["connection"], engine.node.id)
    }
    assert {one["user"] for one in fields[1:]} == {str(ada.pk)}
    assert fields[0]["request_id"] == "r-1"


async def test_a_connection_that_is_open_is_traced_from_now_on(
    engine: Engine, ada: Any, watch: Any
) -> None:
    """Also that of a guest, and only that."""
    async with connect() as guest, connect() as other:
        watching = await watch(guest.welcome["connection"], is_connection=True)
        found = await watching.until("found")
        assert found["user"] == guest.user_id
        await other.command("ping")
        await guest.command("ping")
        await watching.until("received")
    assert (await watching.until("end"))["connection"] == guest.welcome["connection"]
    assert {line["connection"] for line in watching.lines} <= {guest.welcome["connection"]}


async def test_a_guest_is_traced_by_its_id(engine: Engine, watch: Any) -> None:
    async with connect() as guest:
        watching = await watch(guest.user_id)
        assert (await watching.until("found"))["user"] == guest.user_id


async def test_a_client_that_is_not_admitted_is_told_with_the_reason(
    engine: Engine, ada: Any, watch: Any
) -> None:
    """A ban has its code, but not the text of the moderator."""
    watching = await watch(str(ada.pk))
    await sync_to_async(moderation.ban)(None, ada, reason=SECRET)
    with pytest.raises(Disconnect):
        async with connect(ada):
            pass
    await watching.until("identified")
    end = await watching.until("end")
    assert (end["reason"], end["code"]) == ("kicked", 4503)
    assert SECRET not in repr(watching.lines)


async def test_a_page_that_comes_late_gets_the_last_lines(
    engine: Engine, ada: Any, watch: Any
) -> None:
    watching = await watch(str(ada.pk))
    async with connect(ada):
        first = await watching.until("begin")
        watching.lines.clear()
        for _again in range(2):  # the second one comes early, and waits for its turn
            await watching.client.call(watching.topic, "repeat")
            assert await watching.until("begin") == first
            watching.lines.clear()


async def test_a_trace_ends_by_itself(
    engine: Engine, ada: Any, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the clock of the database says that there is much time left."""
    monkeypatch.setattr("realtime.engine.tracing.tracer.TRACE_SECONDS", 0.3)
    watching = await watch(str(ada.pk))
    while not watching.is_over:
        await watching.receive()
    assert not engine.tracer.is_on
    engine.tracer.refresh()
    await eventually(lambda: engine.tracer._reading is not None and engine.tracer._reading.done())
    assert not engine.tracer.is_on
    async with connect(ada):
        assert all(one.trace is None for one in engine.connections.values())


async def test_a_trace_is_stopped_in_all_processes(engine: Engine, ada: Any, watch: Any) -> None:
    watching = await watch(str(ada.pk))
    async with connect(ada):
        trace = await Trace.objects.aget()
        assert await sync_to_async(tracing.stop)(trace)
        while not watching.is_over:
            await watching.receive()
        assert all(one.trace is None for one in engine.connections.values())
    assert not await sync_to_async(tracing.stop)(trace)


async def test_a_trace_ends_when_its_user_loses_the_permission(
    engine: Engine, ada: Any, operator: Any, watch: Any
) -> None:
    watching = await watch(str(ada.pk))
    await operator.user_permissions.aclear()
    engine.tracer.refresh()
    await eventually(lambda: not engine.tracer.is_on)
    assert await sync_to_async(traces.seconds_left)((await Trace.objects.aget()).pk) == 0
    removed = await watching.client.next("removed")
    assert removed["topic"] == watching.topic


async def test_a_trace_of_a_deleted_user_ends(engine: Engine, ada: Any, operator: Any) -> None:
    await sync_to_async(tracing.start)(str(ada.pk), by=operator)
    await eventually(lambda: engine.tracer.is_on)
    await operator.adelete()
    engine.tracer.refresh()
    await eventually(lambda: not engine.tracer.is_on)


async def test_others_may_not_see_a_trace(engine: Engine, ada: Any, watch: Any) -> None:
    watching = await watch(str(ada.pk))
    staff = await get_user_model().objects.acreate_user("staff", is_staff=True)
    for user in (staff, ada, None):
        async with connect(user) as client:
            for act in (client.subscribe(watching.topic), client.call(watching.topic, "repeat")):
                with pytest.raises(Refused) as refused:
                    await act
                assert refused.value.code == "unknown_topic"


async def test_staff_may_be_allowed_to_watch_only(engine: Engine, ada: Any, watch: Any) -> None:
    watching = await watch(str(ada.pk))
    staff = await get_user_model().objects.acreate_user("staff", is_staff=True)
    await staff.user_permissions.aadd(await Permission.objects.aget(codename="view_trace"))
    async with connect(staff) as client:
        await client.subscribe(watching.topic)


async def test_a_trace_that_does_not_exist_has_no_topic(engine: Engine, operator: Any) -> None:
    async with connect(operator) as client:
        with pytest.raises(Refused) as refused:
            await client.subscribe(traces.topic_of(999))
    assert refused.value.code == "unknown_topic"


async def test_very_many_frames_are_counted(
    engine: Engine, ada: Any, watch: Any, kept: list[Any]
) -> None:
    """At most so many lines, and the number of what is left out."""
    watching = await watch(str(ada.pk))
    async with connect(ada) as client:
        await watching.until("sent")
        [connection] = [one for one in engine.connections.values() if one.trace is not None]
        packet = Packet(['{"type":"notice"}'] * 100)
        for _ in range(1000):
            connection.trace.sent(packet)
        left = await watching.until("left_out")
        assert left["frames_sent"] > 100_000 - 2 * bounds.FRAMES
        assert left["bytes_sent"] == left["frames_sent"] * 17
        told = [one for one in kept if one.realtime["event"] == "sent"]
        assert len(told) <= bounds.FRAMES + 1
        await client.command("ping")
    assert (await watching.until("end"))["code"] == 1000


async def test_a_traced_page_of_a_trace_does_not_feed_itself(
    engine: Engine, operator: Any, watch: Any
) -> None:
    watching = await watch(str(operator.pk))
    await watching.until("found")
    await watching.client.command("ping")
    kinds = []
    while (line := await watching.until("sent"))["type"] != "pong":
        kinds.append(line["type"])
    assert "event lines" not in kinds


async def test_a_slow_client_is_told(engine: Engine, ada: Any, watch: Any) -> None:
    watching = await watch(str(ada.pk))
    async with connect(ada):
        [connection] = [one for one in engine.connections.values() if one.trace is not None]
        outbox = connection.outbox
        outbox._pause()
        while not outbox._warned:
            outbox.post(Packet(['{"type":"notice","text":"' + "x" * 50_000 + '"}']))
        assert (await watching.until("slow"))["frames"] > 1
        outbox._resume()
        await watching.until("caught_up")


async def test_a_user_who_signs_in_as_another_is_not_followed(
    engine: Engine, ada: Any, watch: Any
) -> None:
    """And the other one is traced from there on, if that is asked for."""

    async with connect() as guest:
        watching = await watch(guest.user_id)
        await watching.until("found")
        ticket = await sync_to_async(tickets.issue)(ada)
        await guest.command("auth", token=ticket)
        await watching.until("other_user")
        assert all(one.trace is None for one in engine.connections.values())


async def test_fifty_traces_at_once(engine: Engine, ada: Any, operator: Any) -> None:
    """And not one more; a connection may be in all of them."""
    start = sync_to_async(tracing.start)
    async with connect(ada) as client:
        for _ in range(traces.MOST):
            await start(str(ada.pk), by=operator)
        with pytest.raises(CommandError) as refused:
            await start(str(ada.pk), by=operator)
        assert refused.value.code == "limit_exceeded"
        await eventually(lambda: len(engine.tracer._feeds) == traces.MOST)
        await client.command("ping")
        connection = engine.connections[client.welcome["connection"]]
        assert connection.trace is not None
        assert len(connection.trace.feeds) == traces.MOST
    await Trace.objects.all().aupdate(ends_at=Now())
    engine.tracer.refresh()
    await eventually(lambda: not engine.tracer.is_on)


async def test_a_process_that_stops_ends_the_trace_only_for_itself(
    engine: Engine, ada: Any, watch: Any
) -> None:
    """Pages go on, because other processes do; the last lines still come."""
    watching = await watch(str(ada.pk))
    async with connect(ada):
        await watching.until("sent")
        [connection] = [one for one in engine.connections.values() if one.trace is not None]
        connection.trace.caught_up()
        engine.tracer.stop()
        await watching.until("caught_up")
        assert not watching.is_over
        assert not engine.tracer.is_on


async def test_the_clients_of_a_process_that_has_died_are_told(
    engine: Engine, ada: Any, watch: Any
) -> None:
    watching = await watch(str(ada.pk))
    node = await Node.objects.acreate(
        id="0123456789ab", hostname="h", pid=1, expires_at=Now() - timedelta(seconds=1)
    )
    for number, key in enumerate((str(ada.pk), "guest:other")):
        await Connection.objects.acreate(id=f"{node.pk}.{number}", node=node, user_key=key)
    await engine._pulse._reap(node.pk, even_if_alive=False)
    end = await watching.until("end")
    assert (end["connection"], end["reason"]) == (f"{node.pk}.0", "node_lost")
    assert watching.lines == []


async def test_a_clock_that_was_set_back_ends_traces(engine: Engine, ada: Any, watch: Any) -> None:
    """Their end would be too far away."""
    await watch(str(ada.pk))
    await Trace.objects.aupdate(
        started_at=Now() + timedelta(hours=1), ends_at=Now() + timedelta(hours=1, minutes=10)
    )
    engine.tracer.refresh()
    await eventually(lambda: not engine.tracer.is_on)


@pytest.mark.parametrize("error", [OperationalError("away"), ZeroDivisionError("site")], ids=str)
async def test_traces_that_cannot_be_read_go_on(
    error: Exception, engine: Engine, ada: Any, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may be away, or the site's own permissions may fail."""

    await watch(str(ada.pk))

    def fail() -> Any:
        raise error

    monkeypatch.setattr(traces, "active", fail)
    engine.tracer.refresh()
    await eventually(lambda: engine.tracer._reading is not None and engine.tracer._reading.done())
    assert engine.tracer._reading is not None
    assert engine.tracer._reading.exception() is None
    assert engine.tracer.is_on


def test_what_can_be_traced(ada: Any) -> None:
    assert tracing.subject_of(str(ada.pk)) == (str(ada.pk), False)
    assert tracing.subject_of("ada") == (str(ada.pk), False)
    assert tracing.subject_of("guest:0f3a") == ("guest:0f3a", False)
    Node.objects.create(
        id="0123456789ab", hostname="h", pid=1, expires_at=Now() + timedelta(minutes=1)
    )
    assert tracing.subject_of("0123456789ab.7") == ("0123456789ab.7", True)


@pytest.mark.parametrize(
    "text", ["4711", "nobody", "guest:", "guest:a b", "ba9876543210.7", "x" * 300, "a\0b", ""]
)
def test_what_does_not_exist_cannot_be_traced(database: str, text: str) -> None:
    with pytest.raises(CommandError) as refused:
        tracing.subject_of(text)
    assert refused.value.code == "unknown_user"


def test_old_traces_are_deleted(ada: Any, operator: Any) -> None:
    old = tracing.start("guest:1", by=operator)
    Trace.objects.filter(pk=old.pk).update(ends_at=Now() - timedelta(days=traces.KEPT_DAYS + 1))
    tracing.start("guest:2", by=operator)
    assert [one.subject for one in Trace.objects.all()] == ["guest:2"]


def test_the_page_of_the_documentation_names_what_there_is() -> None:
    told = re.findall(r"^\| (`[a-z_`, ]+`) \|", PAGE, re.MULTILINE)
    events = {name for names in told for name in re.findall(r"`([a-z_]+)`", names)}
    assert events == {*TEXTS, "left_out"}
    assert f"At most {traces.MOST} traces" in PAGE
    assert f"for {traces.KEPT_DAYS} days" in PAGE
    assert f"the last {KEPT} lines" in PAGE
    assert f"at most {bounds.FRAMES} frames and {bounds.OTHERS} other lines" in PAGE
    [snippet] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    given: dict[str, Any] = {"LOGGING": {"loggers": {}}}
    exec(snippet, given)
    assert given["LOGGING"]["loggers"] == {"realtime.trace": {"level": "DEBUG"}}
