"""A write part for durable streams, which the package does not have: for the public test suite.

A stream is a kept topic, and its values are events. What is read is what the package answers, with
the values in place of the entries around them.
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

from realtime.over_http import durable_request
from realtime.topics import Event, Topic

durable_request.POLL_SECONDS = 1.0
PREFIX = "/v1/stream/"
JSON = "application/json"
EVENTS = b"text/event-stream"
MOST_BYTES = 1_000_000
Headers = dict[bytes, bytes]


class Written(Event):
    value: Any


class WrittenTopic(Topic):
    path = "written/<int:number>"
    events = [Written]
    keep = timedelta(days=1)
    number: int

    def may_subscribe(self) -> bool:
        return any(one.number == self.number for one in STREAMS.values())


@dataclass
class Stream:
    number: int
    kind: str

    @property
    def topic(self) -> WrittenTopic:
        return WrittenTopic(number=self.number)

    @property
    def is_json(self) -> bool:
        return self.kind.partition(";")[0].strip().lower() == JSON


STREAMS: dict[str, Stream] = {}
numbers = count(1)
NONE = 0
"""The number of no stream."""


class RefusedError(Exception):
    """A request with a mistake; the argument is the status of its answer."""


class WriteApart:
    """Creates, extends and deletes streams, and passes reads on to the site."""

    def __init__(self, site: Any) -> None:
        self.site = site

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(PREFIX):
            await self.site(scope, receive, send)
        elif scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._read(scope, path, receive, send)
        else:
            headers = dict(scope["headers"])
            body = await _body(receive)
            try:
                status = await self._write(scope["method"], path, headers, body)
            except RefusedError as refused:
                status = refused.args[0]
            await self._answer(scope, status, send)

    async def _write(self, method: str, path: str, headers: Headers, body: bytes) -> int:
        kind = headers.get(b"content-type", b"").decode()
        stream = STREAMS.get(path)
        if method == "PUT":
            return await _create(path, stream, kind or "application/octet-stream", body)
        if stream is None:
            raise RefusedError(404)
        if method == "DELETE":
            del STREAMS[path]
        elif not body or not kind:
            raise RefusedError(400)
        elif kind.lower() != stream.kind.lower():
            raise RefusedError(409)
        else:
            await _append(stream, body)
        return 204

    async def _answer(self, scope: dict[str, Any], status: int, send: Any) -> None:
        """Answer a write, with the offset of the end as the package tells it."""
        headers = [(b"x-content-type-options", b"nosniff")]
        if stream := STREAMS.get(scope["path"]):
            headers += [(b"stream-next-offset", await self._end(scope, stream))]
            headers += [(b"content-type", stream.kind.encode())]
        if status == 201:
            host = dict(scope["headers"]).get(b"host", b"")
            headers += [(b"location", b"http://" + host + scope["path"].encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _end(self, scope: dict[str, Any], stream: Stream) -> bytes:
        found: list[dict[str, Any]] = []

        async def take(message: dict[str, Any]) -> None:
            found.append(message)

        head = {**scope, "method": "HEAD", "query_string": b"", "headers": []}
        await self.site(_at(head, stream), None, take)
        return dict(found[0]["headers"]).get(b"stream-next-offset", b"")

    async def _read(self, scope: dict[str, Any], path: str, receive: Any, send: Any) -> None:
        stream = STREAMS.get(path)
        if stream is None:
            stream = Stream(NONE, JSON)
        await self.site(_at(scope, stream), receive, Unwrapped(stream, send))


class Unwrapped:
    """The `send` of a read: it has the values of a stream in place of its entries."""

    def __init__(self, stream: Stream, send: Any) -> None:
        self._stream = stream
        self._send = send
        self._head: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._send, name)

    async def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            kept = [one for one in message["headers"] if one[0] != b"content-length"]
            self._head = {**message, "headers": [self._header(*one) for one in kept]}
            await self._send(self._head)
        elif self._head["status"] == 200 and message.get("body"):
            await self._send({**message, "body": self._values(message["body"])})
        else:
            await self._send(message)

    def _header(self, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        is_kind = name == b"content-type" and value == JSON.encode()
        return (name, self._stream.kind.encode() if is_kind else value)

    def _values(self, body: bytes) -> bytes:
        if (b"content-type", EVENTS) not in self._head["headers"]:
            return self._joined(json.loads(body))
        blocks = body.decode().split("\n\n")
        return b"\n\n".join(self._event(block) for block in blocks)

    def _event(self, block: str) -> bytes:
        head, is_data, data = block.partition("event: data\ndata:")
        if head or not is_data:
            return block.encode()
        text = self._joined(json.loads(data)).decode()
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return "\n".join(["event: data", *(f"data:{line}" for line in lines)]).encode()

    def _joined(self, items: list[dict[str, Any]]) -> bytes:
        values = [item["data"]["value"] for item in items]
        if self._stream.is_json:
            return json.dumps(values).encode()
        return "".join(values).encode("latin1")


def _at(scope: dict[str, Any], stream: Stream) -> dict[str, Any]:
    """Return a request as one to the address of a topic."""
    path = f"/realtime/streams/topic/written/{stream.number}"
    return {**scope, "path": path, "raw_path": path.encode()}


async def _create(path: str, stream: Stream | None, kind: str, body: bytes) -> int:
    if stream is not None:
        if stream.kind.lower() != kind.lower():
            raise RefusedError(409)
        return 200
    STREAMS[path] = stream = Stream(next(numbers), kind)
    if body and not (stream.is_json and body.strip() == b"[]"):
        await _append(stream, body)
    return 201


async def _append(stream: Stream, body: bytes) -> None:
    if len(body) > MOST_BYTES:
        raise RefusedError(413)
    if not stream.is_json:
        await stream.topic.apublish(Written(value=body.decode("latin1")))
        return
    try:
        value = json.loads(body)
    except ValueError:
        raise RefusedError(400) from None
    if value == []:
        raise RefusedError(400)
    # The suite's list is one batch of values.
    for one in value if isinstance(value, list) else [value]:
        await stream.topic.apublish(Written(value=one))


async def _body(receive: Any) -> bytes:
    body = b""
    while (event := await receive())["type"] == "http.request":
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    return body
