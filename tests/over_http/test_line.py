"""How the response of one request goes: a stream, a poll, and their ends."""

import asyncio
import json
from functools import partial
from typing import Any

import msgspec
import pytest

from harness.client.encoding import Object
from harness.waiting import eventually
from realtime import moderation, push
from realtime.engine.engine import Engine
from realtime.errors import RealtimeError
from realtime.models import Room
from realtime.over_http import PlainHttp, line, response
from realtime.over_http.request import Mode, Request
from realtime.over_http.response import Response
from realtime.testing import connect
from tests.over_http.http_client import Exchange

Headers = dict[str, str]


class Confirm(msgspec.Struct):
    """A question to a client."""

    text: str


JOIN = {"type": "join", "room": "general", "ref": 1}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams end soon."""
    monkeypatch.setattr(line, "STREAM_SECONDS", 0.2)


async def test_a_stream_sends_replies_and_events(site: PlainHttp, guest: Headers) -> None:
    """As they come, one `data:` line for each."""
    stream = Exchange(site, "stream").start(JOIN, headers=guest)
    await stream.until("joined", ref=1)
    assert stream.headers["content-type"] == "text/event-stream"
    await push.room("general").amessage("first\nsecond\u2028third", username="CI")
    assert (await stream.until("message"))["content"] == "first\nsecond\u2028third"
    stream.leave()
    await stream.ended()


async def test_a_user_is_present_while_a_stream_runs(
    site: PlainHttp, guest: Headers, engine: Engine
) -> None:
    """And counts as a connection, which ends with the request."""
    async with connect() as socket:
        await socket.join("general")
        stream = Exchange(site, "stream").start(JOIN, headers=guest)
        assert await stream.until("joined", ref=1)
        assert (await socket.next("joined"))["room"] == "general"
        assert len(engine.connections) == 2
        stream.leave()
        await stream.ended()
        assert len(engine.connections) == 1


async def test_a_stream_ends_after_its_time(
    site: PlainHttp, guest: Headers, engine: Engine, short: None
) -> None:
    """Without a `disconnect`: the client begins the next one."""
    stream = Exchange(site, "stream")
    frames = await stream.commands(JOIN, headers=guest)
    assert [frame["type"] for frame in frames] == ["welcome", "joined"]
    assert stream.is_complete
    assert not engine.connections


async def test_the_next_stream_resumes(
    site: PlainHttp, guest: Headers, short: None, room: Room
) -> None:
    """Nothing is missed between two."""
    _, joined = await Exchange(site, "stream").commands(JOIN, headers=guest)
    await push.room("general").amessage("between", username="CI")
    since = {"seq": joined["through"], "epoch": joined["epoch"]}
    _, again = await Exchange(site, "stream").commands(JOIN | {"since": since}, headers=guest)
    assert again["recovered"]
    assert [one["content"] for one in again["messages"]] == ["between"]


async def test_a_stream_ends_after_so_many_bytes(
    site: PlainHttp, guest: Headers, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that buffers without limit would otherwise keep them all."""
    monkeypatch.setattr(response, "STREAM_BYTES", 4000)
    stream = Exchange(site, "stream").start(JOIN, headers=guest)
    await stream.until("joined", ref=1)
    for number in range(20):
        await push.room("general").amessage(f"{number} {'x' * 500}", username="CI")
    frames = await stream.ended()
    contents = [one["content"].split()[0] for one in frames if one["type"] == "message"]
    assert contents == [str(number) for number in range(len(contents))]
    assert 4000 <= len(stream.body) < 6000
    assert not engine.connections


async def test_a_quiet_stream_has_comments(
    site: PlainHttp, guest: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no proxy takes it for dead."""
    monkeypatch.setattr(line, "COMMENT_SECONDS", 0.01)
    stream = Exchange(site, "stream").start(headers=guest)
    await stream.until("welcome")
    await eventually(lambda: stream.body.count(b"\n:\n\n") > 2)
    stream.leave()
    await stream.ended()


async def test_an_end_by_the_site_is_in_the_stream(
    site: PlainHttp, user: Headers, ada: Any
) -> None:
    """The client learns why, as on a socket."""
    stream = Exchange(site, "stream").start(JOIN, headers=user)
    await stream.until("joined", ref=1)
    await moderation.aban(None, ada, by=None)
    end = (await stream.ended())[-1]
    assert (end["type"], end["code"], end["reconnect"]) == ("disconnect", 4503, False)


async def test_a_server_that_stops_ends_a_stream(
    site: PlainHttp, guest: Headers, engine: Engine
) -> None:
    """With the time after which to come back."""
    stream = Exchange(site, "stream").start(JOIN, headers=guest)
    await stream.until("joined", ref=1)
    await engine.stop()
    end = (await stream.ended())[-1]
    assert (end["code"], end["reconnect"]) == (4001, True)
    late = Exchange(site)
    assert await late.refused(headers=guest) == (503, 4001)
    assert "retry-after" in late.headers


async def test_a_poll_ends_with_the_first_events(site: PlainHttp, guest: Headers) -> None:
    """Others of the same moment come with it."""
    _, joined = await Exchange(site).commands(JOIN, headers=guest)
    since = {"seq": joined["through"], "epoch": joined["epoch"]}
    poll = Exchange(site, "wait=25").start(JOIN | {"since": since}, headers=guest)
    async with connect() as socket:
        await socket.join("general")
        for content in ("a", "b"):
            await socket.message("general", content)
        frames = await poll.ended()
    messages = [frame["content"] for frame in frames if frame["type"] == "message"]
    assert messages == ["a", "b"]
    assert poll.chunks == 1


@pytest.mark.parametrize("is_known", [False, True], ids=["first join", "missed messages"])
async def test_a_poll_that_has_news_does_not_wait(
    site: PlainHttp, guest: Headers, is_known: bool
) -> None:
    """A first join, and what was missed since a position."""
    since: Object = {}
    if is_known:
        _, joined = await Exchange(site).commands(JOIN, headers=guest)
        since = {"since": {"seq": joined["through"], "epoch": joined["epoch"]}}
        await push.room("general").amessage("missed", username="CI")
    frames = await Exchange(site, "wait=25").commands(JOIN | since, headers=guest)
    assert [frame["type"] for frame in frames] == ["welcome", "joined"]


async def test_a_poll_without_news_ends_after_its_time(site: PlainHttp, guest: Headers) -> None:
    """With its replies."""
    _, joined = await Exchange(site).commands(JOIN, headers=guest)
    since = {"seq": joined["through"], "epoch": joined["epoch"]}
    loop = asyncio.get_running_loop()
    began = loop.time()
    frames = await Exchange(site, "wait=1").commands(JOIN | {"since": since}, headers=guest)
    assert [frame["type"] for frame in frames] == ["welcome", "joined"]
    assert loop.time() - began >= 0.9


async def test_frames_of_the_site_may_have_any_shape(site: PlainHttp, guest: Headers) -> None:
    """Only their first bytes matter to a response."""
    text = json.dumps({"type": ["x"], "messages": 5, "recovered": "x", "code": {}})
    assert Response({}, None, Mode.POLL).has_news(text)


async def test_a_client_over_http_is_not_asked(site: PlainHttp, guest: Headers) -> None:
    """It could not answer, so the site learns at once that nobody is there."""
    stream = Exchange(site, "stream").start(headers=guest)
    connection = (await stream.until("welcome"))["connection"]
    with pytest.raises(RealtimeError) as failed:
        await push.connection(connection).ask(Confirm(text="Sure?"), timeout=10)
    assert failed.value.code == "gone"
    stream.leave()
    assert [one["type"] for one in await stream.ended()] == ["welcome"]


async def test_a_response_may_be_ended_after_its_client_has_left() -> None:
    """As a server that stops ends it."""

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        """Send nothing."""

    request = Request(Mode.STREAM, 25.0, None)
    one = line.Line(request, "", receive, send, partial(response.Response, {}, send, request.mode))
    assert (await one.receive())["type"] == "websocket.connect"
    await one.send({"type": "websocket.send", "text": '{"type":"welcome"}'})
    assert await one.receive() == line.DISCONNECT
    one.end()
    await one.finish()
    assert one.transport.is_started


async def test_a_page_does_not_get_what_it_signals(
    site: PlainHttp, guest: Headers, engine: Engine
) -> None:
    """Its requests name the connection of its stream; the user's other pages get it."""
    own, other = (Exchange(site, "stream").start(JOIN, headers=guest) for _ in range(2))
    for one in (own, other):
        await one.until("joined", ref=1)
    connection = (await own.until("welcome"))["connection"]
    sent = [{"type": kind, "room": "general"} for kind in ("typing", "signal")]
    sent[1]["data"] = {"at": 1}
    headers = guest | {"x-realtime-connection": connection}
    await Exchange(site).commands(*sent, headers=headers)
    await push.room("general").amessage("after", username="CI")
    for one in (own, other):
        await one.until("message", content="after")
        one.leave()
    kinds = {"typing", "signal"}
    assert not kinds & {frame["type"] for frame in await own.ended()}
    assert kinds <= {frame["type"] for frame in await other.ended()}
