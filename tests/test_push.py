"""Push: send from anywhere in Django code, on commit, to whoever is meant."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import OperationalError, connections, transaction
from django.db.models import TextChoices
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from pytest_django.fixtures import Settings
from pytest_django.plugin import DjangoDbBlocker

from harness.services import Redis, free_port
from harness.settings import layers
from harness.site import UNLIMITED, Sites
from harness.waiting import eventually
from realtime import moderation, push, rooms, testing
from realtime.engine.bus.layer import Layer
from realtime.engine.bus.notes import Note
from realtime.engine.bus.publisher import publisher
from realtime.engine.engine import Engine, user_topic
from realtime.models import Message, Room
from realtime.signals import messages_stored
from realtime.store.database import site, transactions
from realtime.store.outbox import posting
from realtime.testing import Client, connect
from realtime.wire.errors import CloseCode, CommandError
from tests.store.conftest import another_database, emptied


@pytest.fixture(scope="module")
def url(sites: Sites) -> str:
    return sites.database_url("sqlite")


@pytest.fixture
def room(url: str, django_db_blocker: DjangoDbBlocker) -> Iterator[Room]:
    with emptied(url, django_db_blocker):
        yield Room.objects.create(slug="general")


@pytest.fixture
def ada(room: Room) -> Any:
    return get_user_model().objects.create_user("ada")


@pytest.fixture
async def engine(room: Room) -> AsyncIterator[Engine]:
    async with testing.engine(GUESTS=True, **UNLIMITED) as running:
        yield running


@pytest.fixture
async def member(engine: Engine) -> AsyncIterator[Client]:
    """A guest in the room "general"."""
    async with connect() as socket:
        await socket.join("general")
        yield socket


# To whom.


async def test_a_message_to_a_room_is_stored_and_told(member: Client) -> None:
    """From the site itself, under the name it gives; the returned row has its number."""
    message = await push.room("general").amessage(
        "built", username="CI", data={"build": 7}, nonce="n"
    )
    assert message is not None
    told = await member.next("message")
    assert (told["seq"], told["id"]) == (1, message.pk)
    assert (told["content"], told["data"], told["nonce"]) == ("built", {"build": 7}, "n")
    assert (told["username"], told["user_id"]) == ("CI", "site:CI")


async def test_a_message_may_come_from_a_user(member: Client, ada: Any, room: Room) -> None:
    """As if that user had sent it; a room may be given as such."""
    await push.room(room).amessage("hi", user=ada)
    told = await member.next("message")
    assert (told["user_id"], told["username"]) == (str(ada.pk), "ada")


async def test_the_same_nonce_is_one_message(member: Client) -> None:
    """A job that is run again tells nobody again."""
    first = await push.room("general").amessage("once", nonce="n")
    again = await push.room("general").amessage("twice", nonce="n")
    assert first == again
    await member.next("message")
    assert await member.settled() == []


async def test_each_target_reaches_those_it_names(engine: Engine, ada: Any) -> None:
    """A room, a user with all connections, a guest, one connection, everyone."""
    async with connect(ada) as one, connect(ada) as two, connect() as guest:
        await guest.join("general")
        targets = {
            "room": push.room("general"),
            "user": push.user(ada),
            "key": push.user(ada.pk),
            "guest": push.user(guest.welcome["user_id"]),
            "connection": push.connection(two.welcome["connection"]),
            "everyone": push.everyone(),
        }
        for name, target in targets.items():
            await target.asend({"to": name})
        got = [
            [item["data"]["to"] for item in await socket.settled() if item["type"] == "signal"]
            for socket in (one, two, guest)
        ]
        assert got == [
            ["user", "key", "everyone"],
            ["user", "key", "connection", "everyone"],
            ["room", "guest", "everyone"],
        ]


async def test_a_signal_to_a_room_says_which(member: Client) -> None:
    """From the site it has no user."""
    await push.room("general").asend({"x": 1})
    told = await member.next("signal")
    assert told == {"type": "signal", "room": "general", "data": {"x": 1}}


async def test_a_notice_has_a_level(member: Client) -> None:
    """Info, unless said otherwise."""
    await push.everyone().anotice("Back soon.", level="warning")
    assert await member.next("notice") == {
        "type": "notice",
        "level": "warning",
        "text": "Back soon.",
    }
    with pytest.raises(ValueError, match="level"):
        await push.everyone().anotice("x", level="loud")


async def test_a_connection_can_be_ended(engine: Engine) -> None:
    """One of them, with a reason; others stay."""
    async with connect() as one, connect() as other:
        await push.connection(one.welcome["connection"]).adisconnect("Out.")
        end = await one.closed()
        assert (end.code, end.reason) == (CloseCode.KICKED, "Out.")
        assert (await other.ask("ping"))["type"] == "pong"


async def test_a_room_can_be_sent_away(member: Client) -> None:
    """With a code after which clients come back."""
    await push.room("general").adisconnect("Later.", code=4400)
    assert (await member.next("disconnect"))["reconnect"]
    assert (await member.closed()).code == 4400


@pytest.mark.parametrize("code", [1000, 3999, 5000])
def test_only_close_codes_of_the_protocol_can_be_used(code: int) -> None:
    """Others cannot be sent under every server."""
    with pytest.raises(ValueError, match="code"):
        push.everyone().disconnect(code=code)


@pytest.mark.parametrize("name", ["", "node", ".1", "node."])
def test_what_is_no_connection_is_refused(name: str) -> None:
    """A typing error is told at once."""
    with pytest.raises(ValueError, match="connection"):
        push.connection(name)


def test_a_user_without_a_key_sends_nothing(room: Room) -> None:
    """As `request.user` of a view without a login: all of them would be one sender."""
    for nobody in (AnonymousUser(), get_user_model()(username="not saved")):
        with pytest.raises(CommandError, match="no primary key"):
            push.room(room).message("hi", user=nobody)
    assert not Message.objects.exists()


def test_a_room_that_does_not_exist_is_told(room: Room) -> None:
    """When something is sent to it."""
    for send in (
        lambda: push.room("nowhere").message("hi"),
        lambda: push.room("nowhere").notice("hi"),
    ):
        with pytest.raises(Room.DoesNotExist):
            send()


def circular() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["self"] = found
    return found


def deep() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(100_000):
        found = {"x": found}
    return found


class Colour(TextChoices):
    RED = "red", "Red"


TAKEN = [
    (datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC), "2026-01-02T03:04:05.678Z"),
    (date(2026, 1, 2), "2026-01-02"),
    (time(3, 4, 5), "03:04:05"),
    (timedelta(hours=1), "P0DT01H00M00S"),
    (Decimal("9.990"), "9.990"),
    (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    (gettext_lazy("room"), "room"),
    (mark_safe("<b>"), "<b>"),
    (Colour.RED, "red"),
    ((1, (2, 3)), [1, [2, 3]]),
    ({1: {None: True}}, {"1": {"null": True}}),
    (OrderedDict(a=1), {"a": 1}),
]


@pytest.mark.parametrize(("value", "said"), TAKEN, ids=lambda value: type(value).__name__)
async def test_data_may_hold_what_djangos_responses_take(
    member: Client, value: Any, said: Any
) -> None:
    """In signals and in messages, which are stored as they are said."""
    given = {"value": value, "list": [value]}
    assert await push.room("general").asend(given)
    assert (await member.next("signal"))["data"] == {"value": said, "list": [said]}
    message = await push.room("general").amessage("hi", data=given)
    assert message is not None
    assert message.data == (await member.next("message"))["data"]
    assert (await Message.objects.aget()).data == {"value": said, "list": [said]}


async def test_texts_may_be_lazy(member: Client) -> None:
    """As translations of a site are."""
    await push.everyone().anotice(gettext_lazy("room"))
    assert (await member.next("notice"))["text"] == "room"
    await push.room("general").amessage(gettext_lazy("room"), username=gettext_lazy("rooms"))
    told = await member.next("message")
    assert (told["content"], told["username"]) == ("room", "rooms")
    await push.everyone().adisconnect(gettext_lazy("room"))
    assert (await member.closed()).reason == "room"


async def test_data_is_taken_as_it_is_now(member: Client) -> None:
    """What the caller does with it before the commit changes nothing."""

    def work() -> None:
        given = {"x": [1]}
        push.room("general").send(given)
        given["x"].append(2)

    await in_transaction(work)
    assert (await member.next("signal"))["data"] == {"x": [1]}


REFUSED: list[Any] = [
    {"x": 2**53},
    {"x": float("nan")},
    {"x": "\x00"},
    {"x": "\ud800"},
    {"x": 10**5000},
    {"x": {1}},
    {"x": b"a"},
    {"x": object()},
    {7: 1, "7": 2},
    {(1, 2): 3},
    circular(),
    deep(),
    [1, 2],
    (),
    "text",
    7,
]


@pytest.mark.parametrize("data", REFUSED, ids=range(len(REFUSED)))
def test_data_that_json_cannot_say_everywhere_is_refused(data: Any, room: Room) -> None:
    """Before anything is stored or sent, and the error says why."""
    with pytest.raises(CommandError):
        push.room("general").message("hi", data=data)
    with pytest.raises(CommandError):
        push.everyone().send(data)
    assert Message.objects.count() == 0


async def test_a_lost_answer_is_repeated_and_told(
    member: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit went through, the connection did not: still one message, and told."""
    append, calls = posting.append, list[Any]()

    def losing(*args: Any, **options: Any) -> Any:
        stored = append(*args, **options)
        calls.append(stored)
        if len(calls) == 1:
            raise OperationalError("the connection was lost")
        return stored

    monkeypatch.setattr(posting, "append", losing)
    await push.room("general").amessage("hi")
    assert (await member.next("message"))["content"] == "hi"
    assert await Message.objects.acount() == 1


# Transactions.


class Rollback(Exception):  # noqa: N818
    pass


@sync_to_async
def in_transaction(work: Callable[[], object], *, fails: bool = False) -> object:
    try:
        with transaction.atomic():
            result = work()
            if fails:
                raise Rollback
    except Rollback:
        return None
    return result


def everything() -> object:
    push.everyone().send({"x": 1})
    push.everyone().notice("hi")
    return push.room("general").message("hi", username="CI")


async def test_inside_a_transaction_everything_goes_out_on_commit(member: Client) -> None:
    """In the order in which it was said."""
    assert await in_transaction(everything) is None
    told = [await member.next() for _ in range(3)]
    assert [item["type"] for item in told] == ["signal", "notice", "message"]


async def test_nothing_goes_out_when_it_is_rolled_back(member: Client) -> None:
    """No signal, no message, no disconnect."""

    def work() -> None:
        everything()
        push.everyone().disconnect()

    await in_transaction(work, fails=True)
    assert await member.settled() == []
    assert await Message.objects.acount() == 0


async def test_a_savepoint_that_is_rolled_back_takes_only_its_own_along(member: Client) -> None:
    """What was said around it goes out."""

    def work() -> None:
        push.everyone().send({"n": 1})
        try:
            with transaction.atomic():
                everything()
                raise Rollback
        except Rollback:
            pass
        push.everyone().send({"n": 2})

    await in_transaction(work)
    assert [item["data"] for item in await member.settled()] == [{"n": 1}, {"n": 2}]


async def test_a_message_to_a_deleted_room_stops_no_other_push(member: Client) -> None:
    """The room takes it along."""

    def work() -> None:
        push.room("general").message("lost", username="x" * 10, user=None, nonce="n")
        push.everyone().send({"n": 1})
        Room.objects.filter(slug="general").delete()

    await in_transaction(work)
    assert (await member.next("signal"))["data"] == {"n": 1}
    assert await Message.objects.acount() == 0


# From elsewhere.


async def test_a_plain_thread_can_push(member: Client) -> None:
    """It has no event loop; the engine of this process is woken at once."""
    thread = threading.Thread(target=lambda: push.everyone().send({"from": "thread"}))
    thread.start()
    assert (await member.next("signal"))["data"] == {"from": "thread"}
    await asyncio.to_thread(thread.join)


@pytest.mark.parametrize("is_in_transaction", [False, True])
def test_each_stored_message_is_published_once(
    room: Room, told: list[Note], is_in_transaction: bool
) -> None:
    """With its position, also where the same nonce is given again."""
    with transaction.atomic() if is_in_transaction else nullcontext():
        for content, nonce in (("a", "1"), ("b", "2"), ("a", "1")):
            push.room(room).message(content, nonce=nonce)
    assert [(note.tag, getattr(note, "seq", None)) for note in told] == [("log", 1), ("log", 2)]


def test_a_receiver_that_raises_does_not_make_a_stored_message_fail(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller would repeat it, and store it twice."""

    def fail(**_: Any) -> None:
        raise ValueError("of a receiver")

    messages_stored.connect(fail)
    try:
        assert push.room(room).message("hi").content == "hi"
    finally:
        messages_stored.disconnect(fail)
    assert "of a receiver" in caplog.text
    assert Message.objects.count() == 1


def test_without_an_engine_what_is_stored_is_stored(room: Room) -> None:
    """The pulse of whoever serves sockets finds it."""
    message = push.room("general").message("hi", username="CI")
    assert message is not None
    assert Message.objects.get() == message


VERBS: list[tuple[str, Callable[[], push.Handover], Callable[[], Awaitable[push.Handover]]]] = [
    ("user", lambda: push.user(7).send({}), lambda: push.user(7).asend({})),
    ("everyone", lambda: push.everyone().send({}), lambda: push.everyone().asend({})),
    ("room", lambda: push.room("general").send({}), lambda: push.room("general").asend({})),
    ("notice", lambda: push.everyone().notice("x"), lambda: push.everyone().anotice("x")),
    (
        "disconnect",
        lambda: push.connection("n.1").disconnect(),
        lambda: push.connection("n.1").adisconnect(),
    ),
]
NAMES = [name for name, _, _ in VERBS]


@pytest.fixture(params=["no layer", "Redis down"])
def unreachable(request: pytest.FixtureRequest, settings: Settings, room: Room) -> Iterator[None]:
    """A process without sockets that can reach no other one."""
    if request.param == "Redis down":
        url = f"redis://127.0.0.1:{free_port()}"
        settings.CHANNEL_LAYERS = {"default": layers("pubsub", url, "push")}
    publisher.reset()
    yield
    stop_publisher("flush")


@pytest.mark.parametrize(("name", "send", "asend"), VERBS, ids=NAMES)
async def test_what_is_not_stored_says_that_it_reached_nobody(
    unreachable: None, name: str, send: Callable[[], push.Handover], asend: Any
) -> None:
    """It raises nothing, so no view fails; the answer is false and has a reason."""
    for found in (await sync_to_async(send)(), await asend()):
        assert not found
        assert (found.is_waiting, found.is_handed_over) == (False, False)
        assert found.reason.startswith(("This process serves no sockets", "The channel layer"))
        with pytest.raises(push.LayerUnavailable, match="channel layer"):
            found.require()


@pytest.mark.parametrize(("name", "send", "asend"), VERBS, ids=NAMES)
async def test_inside_a_transaction_the_answer_comes_with_the_commit(
    unreachable: None, name: str, send: Callable[[], push.Handover], asend: Any
) -> None:
    """Until then it waits, which is no failure; after a rollback it waits for ever."""
    found: list[push.Handover] = []

    def work() -> None:
        found.append(send())
        found[-1].require()
        assert found[-1]
        assert found[-1].is_waiting

    await in_transaction(work)
    await in_transaction(work, fails=True)
    committed, rolled_back = found
    assert not committed
    assert not committed.is_waiting
    assert rolled_back.is_waiting
    assert "waiting" in repr(rolled_back)


def test_what_is_stored_is_done_while_nobody_can_be_reached(
    unreachable: None, ada: Any, room: Room
) -> None:
    """The processes find it in the database; nothing raises."""
    message = push.room(room).message("hi", username="CI")
    assert message is not None
    moderation.ban(room, ada)
    moderation.unban(room, ada)
    moderation.mute(None, ada)
    moderation.unmute(None, ada)
    moderation.kick(room, ada)
    moderation.unban(room, ada)
    moderation.delete(message)
    private = Room.objects.create(slug="private", kind="private")
    rooms.add(private, ada, by=ada)
    rooms.refresh_rights(private)
    rooms.leave(private, ada)
    ada.is_active = False
    ada.save()
    assert Message.objects.get().deleted_at is not None


def test_a_server_that_nobody_has_come_to_reaches_all_there_are(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a shared layer it is the only one; its first socket makes no difference."""
    publisher.reset()
    monkeypatch.setattr(publisher, "is_server", True)
    found = push.everyone().send({})
    assert found
    assert found.is_handed_over
    assert "handed over" in repr(found)
    found.require()


@pytest.mark.parametrize("layer", ["pubsub", "core"])
async def test_a_server_says_whether_the_others_were_told(
    layer: str, own_redis: Redis, settings: Settings, room: Room
) -> None:
    """Its own clients hear it in any case."""
    settings.CHANNEL_LAYERS = {"default": layers(layer, own_redis.url, "push")}
    async with testing.engine(GUESTS=True, **UNLIMITED) as running, connect() as socket:
        await eventually(lambda: not running.hub.layer.is_resubscription_due)
        assert (await push.everyone().asend({"n": 1})).is_handed_over
        await asyncio.to_thread(own_redis.stop)
        for number in (2, 3):
            found = await push.everyone().asend({"n": number})
            assert not found
            assert "only clients of this process" in found.reason
        assert not push.everyone().send({"n": 4})  # in the event loop, which must not wait
        said = [(await socket.next("signal"))["data"]["n"] for _ in range(4)]
        assert said == [1, 2, 3, 4]
        await asyncio.to_thread(own_redis.start)
        async with asyncio.timeout(30):
            while not await push.everyone().asend({"n": 5}):
                await running.hub.layer.probe(running.topic, 0.2)


# Transactions of another database.


@pytest.fixture
def other(room: Room, tmp_path: Path) -> Iterator[str]:
    """A second database of the site."""
    transactions._warn_once.cache_clear()
    with another_database("other", f"sqlite:///{tmp_path}/other.sqlite3") as alias:
        yield alias


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Note]:
    """What a process without sockets publishes."""
    found: list[Note] = []

    def submit(notes: list[tuple[str, Note]], *, is_background: bool) -> Future[str]:
        found.extend(note for _topic, note, *_origin in notes)
        result: Future[str] = Future()
        result.set_result("")
        return result

    monkeypatch.setattr(publisher, "submit", submit)
    return found


def test_a_transaction_of_another_database_is_warned_of_once(
    other: str, told: list[Note], caplog: pytest.LogCaptureFixture
) -> None:
    """Its rollback takes nothing back."""
    for _ in range(2):
        with suppress(Rollback), transaction.atomic(using=other):
            push.everyone().send({"x": 1})
            raise Rollback
    assert len(told) == 2
    [line] = [record.getMessage() for record in caplog.records]
    assert "using='other'" in line


def test_nobody_is_warned_inside_our_own_transaction(
    other: str, told: list[Note], caplog: pytest.LogCaptureFixture
) -> None:
    with transaction.atomic(), transaction.atomic(using=other):
        push.everyone().send({"x": 1})
        assert told == []
    assert len(told) == 1
    assert caplog.text == ""


@pytest.mark.parametrize("inner_fails", [False, True])
@pytest.mark.parametrize("outer_fails", [False, True])
@pytest.mark.parametrize("databases", [("default", "other"), ("other", "default"), ("other",)])
def test_using_waits_for_all_transactions_that_are_open(
    other: str,
    told: list[Note],
    databases: tuple[str, ...],
    outer_fails: bool,
    inner_fails: bool,
) -> None:
    """What one of them takes back is not said, nor stored."""
    outer, inner = databases[0], databases[-1]
    with suppress(Rollback), transaction.atomic(using=outer):
        with suppress(Rollback), transaction.atomic(using=inner):
            answer = push.everyone().send({"x": 1}, using=other)
            push.everyone().notice("x", using=other)
            push.everyone().disconnect(using=other)
            assert push.room("general").message("hi", using=other) is None
            assert answer.is_waiting
            if inner_fails:
                raise Rollback
        assert told == []
        if outer_fails:
            raise Rollback
    is_said = not (outer_fails or inner_fails)
    assert [note.tag for note in told] == (["say", "say", "end", "log"] if is_said else [])
    assert Message.objects.count() == int(is_said)
    assert answer.is_handed_over is is_said


class Listener:
    """Another process, which hears what comes over the layer."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, list[Any]]] = []
        find_site = sync_to_async(site.identity)
        self.layer = Layer("listener", lambda *what: self.heard.append(what), find_site)

    def notes(self, topic: str) -> list[Any]:
        return [note for name, notes in self.heard if name == topic for note in notes]


@pytest.fixture(params=["pubsub", "core"])
async def listener(
    request: pytest.FixtureRequest, redis_url: str, settings: Settings, room: Room
) -> AsyncIterator[Listener]:
    settings.CHANNEL_LAYERS = {"default": layers(request.param, redis_url, f"push-{id(room)}")}
    publisher.reset()
    made = Listener()
    made.layer.start()
    for topic in (f"room.{room.pk}", "everyone", user_topic("7"), "node.abc"):
        await made.layer.subscribe(topic)
        assert await made.layer.probe(topic, 5)
    yield made
    await made.layer.stop()
    await asyncio.to_thread(stop_publisher, "flush" if request.param == "pubsub" else "close_pools")


def stop_publisher(close: str) -> None:
    """End the thread that a process without sockets publishes from."""
    loop, backend = publisher._loop, publisher._backend
    publisher.reset()
    if loop is None:
        return

    async def let_go() -> None:
        await getattr(backend, close)()

    asyncio.run_coroutine_threadsafe(let_go(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    for thread in threading.enumerate():
        if thread.name == "realtime-publisher":
            thread.join(5)
    loop.close()


async def test_a_process_without_sockets_reaches_the_others(listener: Listener, room: Room) -> None:
    """From sync code in a thread of its own: stored messages and all the rest, in order."""

    def work() -> None:
        push.room(room).message("hi", username="CI")
        for number in range(20):
            push.everyone().send({"n": number})
        push.user(7).notice("to you")
        push.connection("abc.1").disconnect("Out.")
        connections.close_all()

    await asyncio.to_thread(work)
    await eventually(lambda: len(listener.heard) == 23)
    [log] = listener.notes(f"room.{room.pk}")
    assert log[:3] == ["log", 1, None]
    assert [note[0] for note in listener.notes("everyone")] == ["say"] * 20
    assert "to you" in listener.notes(user_topic("7"))[0][1]
    assert listener.notes("node.abc") == [["end", 4503, "Out.", "abc.1"]]


async def test_async_code_without_an_engine_reaches_the_others(
    listener: Listener, room: Room
) -> None:
    """The loop is not blocked meanwhile."""
    await push.room(room).anotice("hi")
    await eventually(lambda: listener.notes(f"room.{room.pk}"))
