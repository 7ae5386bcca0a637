"""The server of the scenarios over plain HTTP reads what any client may send."""

import asyncio

import pytest

from realtime.conformance.exchange import Request
from realtime.conformance.http_request import post
from realtime.conformance.http_server import HttpServer

HEAD = b"POST /realtime/http?stream HTTP/1.1\r\nHost: localhost\r\n"
JOINS = b'{"type":"joins","ref":7,"rooms":[{"room":"a"},{"room":"b"}]}'


def reader_of(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: %d\r\n\r\n%s" % (len(JOINS), JOINS),
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n"
        % (JOINS[:5], len(JOINS) - 5, JOINS[5:]),
    ],
    ids=["length", "chunks"],
)
async def test_each_room_of_a_batch_is_a_command_with_its_ref(body: bytes) -> None:
    request = await Request.read(reader_of(HEAD + body))
    assert (request.path, request.kind) == ("/realtime/http", "stream")
    assert list(request.commands()) == [
        {"type": "join", "ref": 7, "room": "a"},
        {"type": "join", "ref": 7, "room": "b"},
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello\r\n\r\n",
        HEAD + b"Content-Length: x\r\n\r\n",
        HEAD + b"Content-Length: 9\r\n\r\nhalf",
        HEAD + b"Content-Length: 1\r\n\r\n{",
        HEAD + b"Content-Length: 1\r\n\r\n5",
        HEAD + b'Content-Length: 16\r\n\r\n{"type":"joins"}',
    ],
    ids=["nothing", "no request", "no length", "half", "no JSON", "no object", "no rooms"],
)
async def test_a_request_that_is_not_of_the_protocol_gets_no_response(data: bytes) -> None:
    """The next one is served."""
    async with asyncio.timeout(10), HttpServer() as server:
        host, port = server.url.split("/")[2].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        reading = asyncio.ensure_future(anext(post(f"{server.url}?stream", {}, "")))
        await (await server.line()).welcome({"user_id": "9"})
        assert (await reading)["user_id"] == "9"
