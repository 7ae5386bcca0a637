"""The client of the test kit: what a site's own test does with it, and what it is told."""

import asyncio
import logging
import sys
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.test import AsyncClient

from realtime import push
from realtime.consumers import Consumer
from realtime.engine.connections.outbox import Outbox
from realtime.engine.engine import Engine
from realtime.models import Node, Room
from realtime.testing import NotArrived, Refused, connect, engine, lose_layer_messages
from realtime.testing.encoding import ENCODINGS
from realtime.topics import subscribe
from realtime.wire.errors import CommandError, Disconnect

pytestmark = pytest.mark.usefixtures("room")


class Echo(AsyncWebsocketConsumer):
    """A consumer that knows nothing of this package."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send it back, or close."""
        if text_data == "close":
            await self.close(4400)
        else:
            await self.send(text_data, bytes_data)


class Refusing(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.close()


class Broken(Consumer):
    async def on_connect(self) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_message_reaches_the_others(ada: Any, bob: Any, room: Room, encoding: str) -> None:
    """In each encoding; a room is given as a row or by its slug."""
    async with connect(ada, encoding=encoding) as one, connect(bob, encoding=encoding) as other:
        await one.join(room)
        await other.join("general")
        ack = await one.message(room, "hi", data={"x": 1})
        event = await other.next("message", content="hi")
        assert (event["seq"], event["data"], event["username"]) == (ack["seq"], {"x": 1}, "ada")


async def test_a_client_without_a_user_is_a_guest() -> None:
    """Where the site has guests."""
    async with engine(GUESTS=True), connect() as guest:
        assert guest.user_id.startswith("guest:")
        assert (await guest.command("ping"))["type"] == "pong"


async def test_a_client_without_credentials_is_refused_at_once() -> None:
    """It does not wait for the seconds that a server waits for the first message."""
    async with engine(GUESTS=False):
        with pytest.raises(Disconnect, match="credentials"):
            async with connect():
                pass


async def test_a_client_may_have_the_session_of_djangos_test_client(ada: Any) -> None:
    """So a test can sign in once for pages and for sockets."""
    browser = AsyncClient()
    await browser.aforce_login(ada)
    async with connect(cookies=browser.cookies) as client:
        assert client.user_id == str(ada.pk)
        await sync_to_async(browser.logout)()
        assert (await client.closed()).code == 4005


async def test_an_error_is_raised_with_all_of_its_reply(ada: Any) -> None:
    """As the exception that the server's code has raised."""
    async with connect(ada) as client:
        with pytest.raises(CommandError) as caught:
            await client.join("nowhere")
        assert isinstance(caught.value, Refused)
        assert (caught.value.code, caught.value.room) == ("unknown_room", "nowhere")
        assert caught.value.reply["retryable"] is False


async def test_a_refusal_can_be_asked_for_as_a_reply(ada: Any, room: Room) -> None:
    async with connect(ada) as client:
        assert (await client.ask("join", room="nowhere"))["code"] == "unknown_room"
        assert (await client.ask("join", room="general"))["type"] == "joined"


async def test_what_does_not_come_is_told_with_what_has_come_instead(ada: Any, room: Room) -> None:
    """Within the given time, and nothing is lost of the rest."""
    async with connect(ada) as client:
        await client.join(room)
        await client.message(room, "one")
        with pytest.raises(NotArrived) as caught:
            await client.next("message", content="two", timeout=0.05)
        text = str(caught.value)
        assert "a 'message' with {'content': 'two'} has not come within 0.05 s." in text
        assert '"content": "one"' in text
        assert (await client.next("message"))["content"] == "one"


async def test_nothing_at_all_is_told_too(ada: Any) -> None:
    async with connect(ada, timeout=0.05) as client:
        with pytest.raises(NotArrived, match="Nothing else has come either"):
            await client.next()


async def test_an_error_shows_few_and_short_objects(ada: Any, room: Room) -> None:
    """Otherwise a test that has sent much would not be readable."""
    async with connect(ada) as client:
        await client.join(room)
        for number in range(25):
            await client.message(room, f"{number} " + "x" * 500)
        with pytest.raises(NotArrived) as caught:
            await client.next("notice", timeout=0.05)
        lines = str(caught.value).splitlines()
        assert lines[1] == "  (5 earlier ones are not shown)"
        assert len(lines) == 22
        assert max(map(len, lines)) < 310


async def test_settled_shows_that_something_did_not_come(ada: Any, bob: Any, room: Room) -> None:
    """All that was sent before is there, also in encodings that wait a little."""
    async with connect(ada) as one, connect(bob, encoding="msgpack") as other:
        await one.join(room)
        await one.settled()
        await one.message(room, "before")
        await other.join(room)
        await other.settled()
        await one.message(room, "hi")
        assert [item["content"] for item in await other.settled() if "content" in item] == ["hi"]
        assert [item for item in await other.settled() if "content" in item] == []


async def test_settled_waits_for_the_joins_that_others_see(ada: Any, bob: Any, room: Room) -> None:
    """They are written together, a moment after the replies."""
    async with connect(ada) as one, connect(bob) as other:
        await other.join(room)
        await other.settled()
        await one.join(room)
        assert [item["username"] for item in await other.settled()] == ["ada"]
        await one.leave(room)
        assert [item["type"] for item in await other.settled()] == ["left"]


async def test_settled_waits_for_moves(
    ada: Any, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for those that wait until the client has read what came before."""
    has_read = asyncio.Event()
    monkeypatch.setattr(Outbox, "until_free", lambda _: has_read.wait())
    async with connect(ada) as client:
        await push.user(ada).ajoin(room)
        await push.user(ada).aleave(room)
        asyncio.get_running_loop().call_later(0.05, has_read.set)
        assert [item["type"] for item in await client.settled()] == ["joined", "removed"]


async def test_a_client_resumes_what_it_has_missed(ada: Any, bob: Any, room: Room) -> None:
    """As one message after the other, each once."""
    async with connect(ada) as one, connect(bob) as other:
        await one.join(room)
        await other.join(room)
        await one.message(room, "before")
        await other.next("message", content="before")
        await other.drop_connection()
        assert not other.is_open
        await one.message(room, "while away")
        [joined] = await other.resume()
        assert joined["recovered"] is True
        await one.message(room, "after")
        contents = [(await other.next("message"))["content"] for _ in range(2)]
        assert contents == ["while away", "after"]
        assert [item for item in await other.settled() if item["type"] == "message"] == []


async def test_a_guest_resumes_as_the_same_guest() -> None:
    async with engine(GUESTS=True), connect() as guest:
        name = guest.user_id
        await guest.drop_connection()
        await guest.resume()
        assert guest.user_id == name


async def test_a_left_room_is_not_resumed(ada: Any, room: Room) -> None:
    async with connect(ada) as client:
        await client.join(room)
        await client.leave(room)
        await client.drop_connection()
        assert await client.resume() == []


async def test_a_client_without_a_connection_says_so(ada: Any, room: Room) -> None:
    """And one with a connection cannot be connected twice."""
    async with connect(ada) as client:
        with pytest.raises(RuntimeError, match="drop_connection"):
            await client.resume()
        await client.drop_connection()
        for wait in (client.next, client.closed, lambda: client.join(room)):
            with pytest.raises(RuntimeError, match="resume"):
                await wait()


async def test_the_end_is_told_with_its_reason(ada: Any) -> None:
    """By `closed`, and by all that waits for something else."""
    async with connect(ada) as client:
        await push.user(ada).adisconnect("Out.")
        with pytest.raises(Disconnect, match="Out"):
            await client.next("message")
        end = await client.closed()
        assert (end.code, end.reason) == (4503, "Out.")


async def test_a_lost_signal_does_not_come_and_a_lost_message_does(ada: Any, room: Room) -> None:
    """The next message shows the gap, which is read from the database."""
    async with connect(ada) as client:
        await client.join(room)
        lose_layer_messages(2)
        assert await push.room(room).asend({"n": 1})
        await push.room(room).amessage("lost", username="CI")
        await push.room(room).amessage("heard", username="CI")
        told = [(await client.next("message"))["content"] for _ in range(2)]
        assert told == ["lost", "heard"]
        assert [item for item in await client.settled() if item["type"] == "signal"] == []


async def test_losing_needs_a_client() -> None:
    with pytest.raises(RuntimeError, match="connect"):
        lose_layer_messages(1)


async def test_any_consumer_of_channels_can_be_tested(ada: Any) -> None:
    """Texts and bytes that are no objects are returned as they are."""
    async with connect(ada, "/ws/echo/?x=1", application=Echo.as_asgi()) as client:
        for frame in ("hi", b"\x01", "{", "", '"text"'):
            client.send_frame(frame)
        assert [await client.next() for _ in range(5)] == ["hi", b"\x01", "{", "", "text"]
        assert await client.settled() == []
        client.send_frame("close")
        assert (await client.closed()).code == 4400


async def test_a_refused_handshake_is_an_error_of_its_own() -> None:
    with pytest.raises(ConnectionRefusedError, match="origin"):
        async with connect(application=Refusing.as_asgi()):
            pass


async def test_a_foreign_origin_is_refused(ada: Any) -> None:
    with pytest.raises(ConnectionRefusedError):
        async with connect(ada, headers={"Origin": "https://evil.example"}):
            pass


async def test_an_exception_of_the_consumer_is_not_hidden(ada: Any) -> None:
    """The site's own consumer ends with 4011, any other application by its exception."""

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with connect(ada, application=failing) as client:
            await client.next()
    async with connect(ada, application=failing) as client:
        with pytest.raises(ZeroDivisionError):
            await client.next()  # and not once more at the end of the block
    async with connect(ada, application=Broken.as_asgi()) as client:
        assert (await client.closed()).code == 4011


async def test_any_json_can_be_sent_to_a_consumer_of_the_site(ada: Any) -> None:
    async with connect(ada, application=Echo.as_asgi()) as client:
        client.send_json({"x": [1, None]})
        assert await client.next() == {"x": [1, None]}


async def test_a_consumer_that_subscribes_before_it_accepts_fails_here_too(ada: Any) -> None:
    """As it does on a server."""

    class TooEarly(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await subscribe(self, "news")

    with pytest.raises(RuntimeError, match=r"await self.accept\(\)"):
        async with connect(ada, application=TooEarly.as_asgi()):
            pass


async def test_an_application_that_does_not_end_fails_the_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And is cancelled, so that no other test waits for it."""
    monkeypatch.setattr("realtime.testing.socket.END_SECONDS", 0.05)

    async def hanging(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    with pytest.raises(AssertionError, match="was cancelled"):
        async with connect(application=hanging):
            pass
    assert asyncio.all_tasks() == before


async def test_an_error_of_the_test_is_the_one_that_is_seen(ada: Any) -> None:
    with pytest.raises(KeyError):
        async with connect(ada):
            raise KeyError
    assert Engine.here() is None


async def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(ValueError, match="ndjson"):
        async with connect(encoding="xml"):
            pass


async def test_nothing_is_left_after_the_last_client(ada: Any, bob: Any, room: Room) -> None:
    """No task, no thread, no engine, no row; the first client has started it for all."""
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    async with connect(ada) as one:
        running = Engine.here()
        async with connect(bob) as other:
            assert Engine.here() is running
            await other.join(room)
        assert Engine.here() is running
        await one.join(room)
    assert Engine.here() is None
    assert asyncio.all_tasks() == tasks
    assert threading.active_count() <= threads + 1  # asgiref keeps one of its own
    assert not await Node.objects.aexists()


async def test_clients_may_come_and_go_at_the_same_time(ada: Any, room: Room) -> None:
    """The engine that one of them stops is not the one that another has got."""

    async def visit() -> None:
        async with connect(ada) as client:
            await client.join(room)

    await asyncio.gather(*(visit() for _ in range(5)))
    await asyncio.gather(*(visit() for _ in range(5)))
    assert Engine.here() is None


async def test_the_engine_of_the_test_outlives_its_clients(ada: Any) -> None:
    async with engine() as running:
        async with connect(ada):
            pass
        assert Engine.here() is running
        assert not running.is_stopping


async def test_a_client_answers_the_heartbeat_unless_it_is_told_not_to(ada: Any) -> None:
    async with connect(ada) as client:
        await push.connection(client.connection).asend({"x": 1})
        client._take('{"type":"ping","t":"abc"}')
        await client.settled()
        client.answers_pings = False
        client._take('{"type":"ping"}')
        assert [item["type"] for item in await client.settled()] == ["ping"]


async def test_sync_code_of_a_test_reaches_the_client(ada: Any, room: Room) -> None:
    """As a view does: in Django's thread, while the loop runs in another."""
    async with connect(ada) as client:
        await client.join(room)
        await sync_to_async(push.room(room).message)("from a view", username="CI")
        assert (await client.next("message"))["username"] == "CI"


async def test_the_first_connection_leaves_the_log_to_the_test(
    ada: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It imports the site's application, and Django would configure logging anew."""
    monkeypatch.delitem(sys.modules, "project.asgi", raising=False)
    async with connect(ada):
        logging.getLogger("realtime.site").warning("seen")
    assert "project.asgi" in sys.modules
    assert "seen" in caplog.text
