"""Input that hurts gets a typed error, stores nothing, and ends a connection only at the fifth."""

import json
from collections.abc import Iterator

import msgspec
import pytest

from harness.client.encoding import Object
from harness.client.websocket import Client
from harness.site import Factory, Site

DEEP = 200_000
HURTFUL: dict[str, str | bytes] = {
    "depth 200,000": "[" * DEEP + "]" * DEEP,
    "depth 200,000 in a command": '{"type":"ping","t":' + "[" * DEEP + "]" * DEEP + "}",
    "depth 5,000 that never ends": "[" * 5_000,
    "5,000-digit position": '{"type":"history","room":"general","after":' + "9" * 5_000 + "}",
    "2^64 as position": '{"type":"history","room":"general","before":18446744073709551616}',
    "2^64 as ref": '{"type":"ping","ref":18446744073709551616}',
    "duplicate keys": '{"type":"message","room":"general","content":"x","content":"y"}',
    "lone surrogate": '{"type":"message","room":"general","content":"\\ud800"}',
    "NUL in content": '{"type":"message","room":"general","content":"a\\u0000b"}',
    "NUL in a room": '{"type":"join","room":"gen\\u0000eral"}',
    "NUL in a nonce": '{"type":"message","room":"general","content":"x","nonce":"\\u0000"}',
    "raw NUL": '{"type":"message","room":"general","content":"\0"}',
    "wrong type of content": '{"type":"message","room":"general","content":5}',
    "no room": '{"type":"message","content":"x"}',
    "unknown type": '{"type":"__init__"}',
    "no type": "{}",
    "an array": "[]",
    "half a command": '{"type":"mess',
    "binary": b'{"type":"message","room":"general","content":"x"}',
    "over the limit": json.dumps({"type": "message", "room": "general", "content": "x" * 65_536}),
}
HURTFUL_DATA = {
    "depth 25,000": "[" * 25_000 + "]" * 25_000,
    "depth 20": "[" * 20 + "]" * 20,
    "5,000-digit integer": "9" * 5_000,
    "NaN": "NaN",
    "infinity": "-Infinity",
    "1e999": "1e999",
    "2^64": "18446744073709551616",
    "2^53": "9007199254740992",
    "duplicate keys": '{"b":1,"b":2}',
    "lone surrogate": '"\\udfff"',
    "NUL": '["\\u0000"]',
    "NUL in a key": '{"\\u0000":1}',
    "9 KiB": f'"{"x" * 9_216}"',
}
COMMAND = '{"type":"message","room":"general","content":"x","data":{"a":%s}}'
HURTFUL |= {f"{name} in data": COMMAND % data for name, data in HURTFUL_DATA.items()}
HURTFUL_MSGPACK = {
    "2^64 - 1": {"a": 2**64 - 1},
    "NaN": {"a": float("nan")},
    "bytes": {"a": b"\xff"},
    "integer key": {1: "a"},
    "extension": {"a": msgspec.msgpack.Ext(5, b"x")},
    "a moment": {"a": msgspec.msgpack.Ext(-1, bytes(4))},
}
ODD = [
    "مرحبا بالعالم",
    "\u202eright to left\u202c",
    "👩‍👩‍👧‍👦 🏳️‍🌈",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L",
    "e\u0301 is not \u00e9",
    "\ufdfa\U0010ffff\uffff",
    '<script>alert(1)</script> & "quotes" \\ / \u2028',
    "'; DROP TABLE realtime_message; --",
]


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    return make_shared_site()


@pytest.fixture(autouse=True)
def nothing_is_stored(site: Site, request: pytest.FixtureRequest) -> Iterator[None]:
    """A file-wide promise; the tests that send good text use rooms of their own."""
    yield
    assert site.database.messages("general") == []


@pytest.mark.parametrize("frame", HURTFUL.values(), ids=HURTFUL)
async def test_hurtful_input_gets_a_typed_error_and_the_connection_stays(
    site: Site, frame: str | bytes
) -> None:
    """Depth, numbers, text and shapes that no command may have."""
    async with await Client.connect(site.urls[0]) as client:
        await client.join("general")
        await client.raw(frame)
        await _assert_error_then_alive(client)


@pytest.mark.parametrize("data", HURTFUL_MSGPACK.values(), ids=HURTFUL_MSGPACK)
async def test_what_msgpack_can_say_and_json_cannot_is_refused(site: Site, data: Object) -> None:
    async with await Client.connect(site.urls[0], "msgpack") as client:
        await client.join("general")
        await client.send("message", room="general", content="x", data=data)
        await _assert_error_then_alive(client)


@pytest.mark.parametrize(
    "frame", [b"\xc1", b"\x81", b"\x91" * 60_000, b"\x81\xa4type\xa2\xff\xfe", "text"]
)
async def test_broken_msgpack_gets_a_typed_error(site: Site, frame: str | bytes) -> None:
    async with await Client.connect(site.urls[0], "msgpack") as client:
        await client.raw(frame)
        await _assert_error_then_alive(client)


async def test_a_bad_line_among_good_ones_costs_only_itself(site: Site) -> None:
    async with await Client.connect(site.urls[0], "ndjson") as client:
        await client.raw('{"type":"ping","t":1}\n{"type":\n{"type":"ping","t":2}\n')
        assert (await client.expect("pong"))["t"] == 1
        assert (await client.expect("error"))["code"] == "invalid_json"
        assert (await client.expect("pong"))["t"] == 2


async def test_five_bad_frames_in_a_row_end_the_connection_after_telling(site: Site) -> None:
    async with await Client.connect(site.urls[0]) as client:
        for _ in range(5):
            await client.raw("{")
        assert await client.closed() == 4511
        told = client.seen[-1]
        assert (told["type"], told["code"], told["reconnect"]) == ("disconnect", 4511, False)
        assert [item["type"] for item in client.seen].count("error") >= 4


async def test_a_good_frame_resets_the_count_of_bad_ones(site: Site) -> None:
    async with await Client.connect(site.urls[0]) as client:
        for _ in range(3):
            for _ in range(4):
                await client.raw("{")
            await client.send("ping", t=7)
            await client.expect("pong", t=7)


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("encoding", ["json", "ndjson", "msgpack"])
async def test_odd_but_valid_text_comes_back_as_it_was(
    site: Site, encoding: str, text: str
) -> None:
    async with await Client.connect(site.urls[0], encoding) as client:
        await client.join("room-1", history=0)
        ack = await client.say(
            "room-1", text, data={"text": text, text: [text, None, True, 1.5, 2**53 - 1]}
        )
        [message] = [item for item in client.seen if item["type"] == "message"] or [
            await client.expect("message")
        ]
        assert (message["content"], message["data"]["text"], message["id"]) == (
            text,
            text,
            ack["id"],
        )
        assert [
            row.content for row in site.database.messages("room-1") if row.id == str(ack["id"])
        ] == [text]
        await client.send("history", room="room-1", after=ack["seq"] - 1)
        assert (await client.expect("history"))["messages"][0]["content"] == text


async def _assert_error_then_alive(client: Client) -> None:
    error = await client.expect("error")
    assert error["code"] in ("invalid_json", "invalid_message", "unknown_type", "too_large")
    assert error["message"]
    assert error["retryable"] is False
    await client.send("ping", t=1)
    assert (await client.expect("pong"))["t"] == 1
    assert [item["type"] for item in client.seen].count("error") == 1
