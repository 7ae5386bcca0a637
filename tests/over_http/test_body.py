"""The frames of a body."""

import asyncio
import json
from typing import Any

import pytest

from realtime.engine.engine import Engine
from realtime.over_http import PlainHttp, body
from realtime.over_http.body import STREAM_FRAMES, Body
from realtime.over_http.refusal import Refusal
from realtime.over_http.request import Mode
from tests.over_http.http_client import Exchange

Headers = dict[str, str]
FRAME = 64 * 1024
LINE = b'{"type":"ping"}\n'


def reading(*chunks: bytes, mode: Mode = Mode.STREAM) -> tuple[Body, list[bytes]]:
    """A body that comes in these chunks, and the chunks that were not read yet."""
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        if not left:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return Body({"headers": []}, receive, mode), left


async def test_a_large_body_of_a_stream_is_read_as_frames() -> None:
    """Each ends with a command, and has no more of them than a frame of a socket."""
    line = json.dumps({"type": "joins", "rooms": [{"room": "r" * 900}]}).encode() + b"\n"
    some, left = reading(line * 50, line * 50, line * 50)
    frames = []
    while frame := await some.next():
        frames.append(frame)
        assert left or len(frames) > 1
    assert "".join(frames).encode() == line * 150
    assert len(frames) == 3
    assert all(len(frame) <= FRAME and frame.endswith("\n") for frame in frames)


async def test_a_frame_has_as_many_commands_as_one_of_a_socket() -> None:
    """However small they are."""
    some, _ = reading(LINE * 250)
    counts = [(await some.next() or "").count("\n") for _ in range(4)]
    assert counts == [100, 100, 50, 0]


async def test_only_a_stream_may_have_more_than_one_frame() -> None:
    """And not without end; a command is never larger than a frame."""
    for mode, data in [
        (Mode.COMMANDS, LINE * (FRAME // len(LINE) + 1)),
        (Mode.POLL, LINE * (FRAME // len(LINE) + 1)),
        (Mode.STREAM, b"x" * (FRAME + 1)),
        (Mode.STREAM, LINE * (STREAM_FRAMES * FRAME // len(LINE) + 1)),
    ]:
        some, _ = reading(data, mode=mode)
        with pytest.raises(Refusal) as refused:
            await some.next()
        assert refused.value.status == 413


async def test_a_client_that_goes_in_the_middle_is_gone() -> None:
    """What it has sent until then is no command."""
    some, left = reading(LINE * 10, b"")
    left.clear()
    assert await some.next() is None


async def test_a_stream_enters_more_than_one_frame_may_name(
    site: PlainHttp, guest: Headers, engine: Engine
) -> None:
    """In the order of its commands, by one connection."""
    joins = [{"type": "join", "room": "general", "ref": ref} for ref in range(3)]
    padded = [json.dumps(join).replace("{", "{" + " " * 40_000) for join in joins]
    stream = Exchange(site, "stream").start(*padded, *[LINE.strip()] * 150, headers=guest)
    await stream.until_text("pong")
    assert [one["ref"] for one in stream.frames if one["type"] == "joined"] == [0, 1, 2]
    assert len(engine.connections) == 1
    stream.leave()
    frames = await stream.ended()
    assert [one["type"] for one in frames].count("pong") == 150


async def test_what_is_wrong_in_a_later_frame_is_told_in_the_stream(
    site: PlainHttp, guest: Headers
) -> None:
    """The status is sent by then."""
    ping = LINE.replace(b"{", b"{" + b" " * 40_000)
    frames = await Exchange(site, "stream").commands(ping, ping, b"\xff", headers=guest)
    assert [frame["type"] for frame in frames].count("pong") == 1
    assert [one["code"] for one in frames if one["type"] == "error"] == ["invalid_json"]


async def test_a_body_that_is_not_sent_in_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the status that says so."""
    monkeypatch.setattr(body, "BODY_SECONDS", 0.01)
    some = Body({"headers": []}, asyncio.Event().wait, Mode.COMMANDS)
    with pytest.raises(Refusal) as refused:
        await some.next()
    assert refused.value.status == 408
