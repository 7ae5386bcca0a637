"""What a line of the log is about can be read by machines."""

import asyncio
import gc
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from django.test import RequestFactory

from realtime.auth.origin import admit
from realtime.consumers import Consumer
from realtime.engine.engine import Engine
from realtime.log_fields import MOST, client
from realtime.logs import get_logger
from realtime.middleware import request_id
from realtime.page import page_config
from realtime.testing import connect
from tests.consumers.conftest import database, engine, room, sqlite_url

__all__ = ["database", "engine", "room", "sqlite_url"]

DEPLOY = Path(__file__).parent.parent / "docs" / "deploy.md"
logger = get_logger("realtime.of_a_test")


class Noting(Consumer):
    """Writes a line when it opens, and one in the background of no connection."""

    async def on_connect(self) -> None:
        logger.warning("a line of its own")
        client.set(lambda: None)
        logger.warning("connection %s is slow", self.id)


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("line", "values", "fields"),
    [
        ("topic %s: late", ("a/1",), {"topic": "a/1"}),
        ("the topic %r is refused", ("a/1",), {"topic": "a/1"}),
        ("room %s: dropped", (7,), {"room": "7"}),
        ("user %r cannot sign in: %s", ("9", "why"), {"user": "9"}),
        ("node %s is gone", ("n1",), {"node": "n1"}),
        ("connection %s closes", ("n1.7",), {"connection": "n1.7", "node": "n1"}),
        ("a broken user of the site is in the room %s", (7,), {}),
        ("no value", (), {}),
        ("%d waiting", (3,), {}),
        ("topic %s: long", ("x" * 999,), {"topic": "x" * MOST}),
    ],
)
def test_a_line_has_the_field_that_it_names(
    kept: Kept, line: str, values: tuple[Any, ...], fields: dict[str, str]
) -> None:
    logger.warning(line, *values)
    assert kept.records[0].realtime == fields


def test_a_line_may_have_any_extra(kept: Kept) -> None:
    """A field is no attribute of its own, as `extra` may not overwrite one."""
    logger.warning("topic %s is extra", "a", extra={"topic": "b", "connection": 1})
    assert (kept.records[0].topic, kept.records[0].realtime["topic"]) == ("b", "a")


async def test_a_line_in_the_task_of_a_connection_belongs_to_it(kept: Kept, engine: Engine) -> None:
    """And one that only names it has its user too."""
    asked = {"X-Request-ID": "r-1"}
    async with connect(application=Noting.as_asgi(), headers=asked) as one:
        expected = {
            "connection": one.welcome["connection"],
            "user": one.user_id,
            "address": "127.0.0.1",
            "node": engine.node.id,
            "request_id": "r-1",
        }
    assert [record.realtime for record in kept.records] == [expected, expected]


async def test_the_address_of_the_client_is_a_field(kept: Kept, engine: Engine) -> None:
    async with connect(application=Noting.as_asgi(), client=("198.51.100.7", 9)):
        assert {record.realtime["address"] for record in kept.records} == {"198.51.100.7"}


async def test_a_line_about_no_connection_has_the_node(kept: Kept, engine: Engine) -> None:
    """Also one that is written in a thread."""
    await asyncio.to_thread(logger.warning, "nothing in particular")
    logger.warning("topic %s: late", "a/1")
    assert [record.realtime["node"] for record in kept.records] == [engine.node.id] * 2


def test_a_line_with_named_values_has_them_as_fields(kept: Kept) -> None:
    """The fields that every line may have are text; the others are as they are."""
    logger.warning(
        "connection %(connection)s: %(bytes)d bytes in the room %(room)s from %(agent)s",
        {"connection": "n1.7", "bytes": 3, "room": 7, "agent": "a\nb", "user": ""},
    )
    known = {"connection": "n1.7", "room": "7", "node": "n1"}
    assert kept.records[0].realtime == known | {"bytes": 3, "agent": "a\\nb"}
    assert kept.records[0].getMessage().endswith("room 7 from a\\nb")


def test_a_refused_origin_has_the_fields_of_its_handshake() -> None:
    handler, origins = Kept(), logging.getLogger("realtime.origin")
    origins.addHandler(handler)
    try:
        headers = [(b"origin", b"https://evil.test"), (b"x-request-id", b"r-9")]
        admit({"headers": headers, "client": ("203.0.113.5", 4)})
    finally:
        origins.removeHandler(handler)
    expected = {"address": "203.0.113.5", "request_id": "r-9", "origin": "['https://evil.test']"}
    found = handler.records[0].realtime
    assert {name: str(found[name]) for name in expected} == expected


def test_lines_of_a_request_have_its_id(kept: Kept) -> None:
    """Only while the request runs, in the thread of the view."""

    def view(request: Any) -> str:
        logger.warning("topic %s: late", "a/1")
        return "answered"

    request = RequestFactory().get("/", headers={"X-Request-ID": "r-1"})
    assert request_id(view)(request) == "answered"
    logger.warning("topic %s: later", "a/1")
    assert [record.realtime.get("request_id") for record in kept.records] == ["r-1", None]


async def test_lines_of_an_async_request_have_its_id(kept: Kept) -> None:
    """Also those of a thread that the view has waited for."""

    async def view(request: Any) -> None:
        await asyncio.to_thread(logger.warning, "topic %s: late", "a/1")

    request = RequestFactory().get("/", headers={"X-Request-ID": "r-1"})
    request.id = "of the site"  # type: ignore[attr-defined]
    await request_id(view)(request)
    logger.warning("topic %s: later", "a/1")
    found = [record.realtime.get("request_id") for record in kept.records]
    assert found == ["of the site", None]


async def test_a_task_that_stays_does_not_keep_the_connection(engine: Engine) -> None:
    """As that of a topic, which one client has opened and others use."""
    tasks: list[asyncio.Task[Any]] = []

    class Leaving(Consumer):
        async def on_connect(self) -> None:
            tasks.append(asyncio.create_task(asyncio.Event().wait()))

    async with connect(application=Leaving.as_asgi()):
        [kept] = map(ref, engine.connections.values())
    gc.collect()
    assert kept() is None
    tasks[0].cancel()


async def test_the_request_of_the_page_comes_before_that_of_the_socket(
    kept: Kept, engine: Engine
) -> None:
    page = page_config(RequestFactory().get("/", headers={"X-Request-ID": "page 1&x=2"}))
    assert page["url"] == "/ws/?request_id=page%201%26x%3D2"
    asked = {"X-Request-ID": "of the socket"}
    async with connect(path=page["url"], application=Noting.as_asgi(), headers=asked):
        assert kept.records[0].realtime["request_id"] == "page 1&x=2"


async def test_a_client_cannot_begin_a_line_by_the_id_of_a_request(
    kept: Kept, engine: Engine
) -> None:
    """A formatter may write the field as it is."""
    path = "/ws/?request_id=1%0AERROR%20forged%1B[2J"
    async with connect(path=path, application=Noting.as_asgi()):
        assert kept.records[0].realtime["request_id"] == r"1\nERROR forged\x1b[2J"


def test_a_page_without_an_id_has_the_usual_address() -> None:
    assert page_config(RequestFactory().get("/"))["url"] == "/ws/"


def test_the_formatter_of_the_page_writes_the_fields(kept: Kept) -> None:
    [snippet] = re.findall(r"```python\n(# mysite/logs.py\n.*?)```", DEPLOY.read_text(), re.DOTALL)
    given: dict[str, Any] = {}
    exec(snippet, given)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("topic %s: failed", "a/1")
    line = json.loads(given["JsonFormatter"]().format(kept.records[0]))
    assert (line["message"], line["topic"], line["level"]) == ("topic a/1: failed", "a/1", "ERROR")
    assert "ValueError" in line["error"]
