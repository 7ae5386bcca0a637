"""A client of many values: it takes pages and changes, and every value that is wrong counts."""

import json
from typing import Any

import pytest

from benchmarks.load.dialects import DIALECTS
from benchmarks.load.values import ValueSocket, wrong


class Line:
    """A transport that keeps the commands that are written."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []

    def write(self, data: bytes) -> None:
        if (start := data.find(b"{")) >= 0:
            self.commands.append(json.loads(data[start:]))


class Client:
    """A client and its server."""

    def __init__(self) -> None:
        self.line: Any = Line()
        self.socket = ValueSocket(DIALECTS["json"], b"GET")
        self.socket.connection_made(self.line)

    def gets(self, kind: str, **fields: object) -> None:
        frame = json.dumps({"type": kind, **fields}, separators=(",", ":"))
        self.socket._hear(frame.encode())

    def gets_page(self, *values: tuple[str, str], through: int, until: int | None) -> None:
        entries = [value(*one) for one in values]
        more = {"has_more": until is not None, "until": until}
        self.gets("subscribed", entries=entries, through=through, epoch="e", **more)


def value(key: str, text: str) -> dict[str, Any]:
    return {"name": "said", "key": key, "data": {"text": text}, "seq": 1}


@pytest.fixture
async def client() -> Client:
    client = Client()
    client.gets("welcome")
    client.gets_page(("a", "1"), ("b", "1"), through=2, until=9)
    client.gets_page(("c", "1"), ("a", "2"), through=9, until=None)
    return client


def test_it_requests_each_page_after_the_last(client: Client) -> None:
    """From the position of the page, up to the end of the snapshot."""
    topic = {"type": "subscribe", "topic": "value/room-0"}
    since = {"seq": 2, "epoch": "e", "until": 9}
    assert client.line.commands == [topic, {**topic, "since": since}]
    assert (client.socket.is_subscribed, client.socket.pages) == (True, 2)


def test_it_has_the_last_state_of_each_key(client: Client) -> None:
    """Of pages and of what comes after them."""
    assert client.socket.values == {"a": "2", "b": "1", "c": "1"}
    client.gets("event", **value("b", "2"))
    client.gets("event", name="said", key="c", deleted=True)
    assert client.socket.values == {"a": "2", "b": "2"}


def test_it_answers_the_heartbeat(client: Client) -> None:
    """Paging may take longer than the server waits."""
    client.gets("ping")
    assert client.line.commands[-1] == {"type": "pong"}


def test_it_does_not_go_on_after_an_error(client: Client) -> None:
    """It would wait for a page that never comes."""
    with pytest.raises(RuntimeError, match="limit_exceeded"):
        client.gets("error", code="limit_exceeded")


@pytest.mark.parametrize("mine", [{"a": "1"}, {"a": "1", "b": "1"}, {"a": "1", "b": "2", "c": "1"}])
def test_each_wrong_value_counts(mine: dict[str, str]) -> None:
    """One that lacks, one that is old, and one that was deleted."""
    assert wrong(mine, {"a": "1", "b": "2"}) == 1
