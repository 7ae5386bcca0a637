"""The spans of one process, and what happens where there are none."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import SpanKind, StatusCode

from realtime.errors import CommandError
from realtime.spans import LOOK_SECONDS, MOST_LINKS, OFF, OPERATIONS, spans, within, write
from realtime.wire.errors import Disconnect, ErrorCode
from tests.traces import Recorded, attributes, is_child, recorded

DOCS = Path(__file__).parent.parent / "docs"
ALONE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("opentelemetry"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
from realtime.spans import OFF, spans
assert not spans.is_on and spans.current() is None
assert spans.publish("t") is OFF and spans.command("join", "c") is OFF
assert spans.read("00-" + "1" * 32 + "-" + "1" * 16 + "-01") is None
assert spans.bound(len) is len
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


@pytest.fixture
def record() -> Iterator[Recorded]:
    with recorded() as found:
        yield found


def test_nothing_is_imported_without_the_site() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_without_a_provider_nothing_is_begun() -> None:
    spans.reset()
    assert not spans.is_on
    assert spans.publish("t") is OFF
    with spans.command("join", "c") as span:
        assert span.origin is None


def test_a_provider_that_is_set_late_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("realtime.spans.time.monotonic", lambda: now[0])
    spans.reset()
    assert not spans.is_on
    proxy = trace.get_tracer_provider()
    with recorded() as record, pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "get_tracer_provider", lambda: proxy)
        assert not spans.is_on
        patch.setattr(trace, "get_tracer_provider", lambda: record.provider)
        assert not spans.is_on, "the last look was not long ago"
        now[0] += LOOK_SECONDS
        assert spans.is_on


def test_a_publish_is_named_by_the_path_and_not_by_the_topic(record: Recorded) -> None:
    with spans.publish("order/7", 3, "order/<int:pk>"):
        pass
    found = record.one("publish")
    assert (found.name, found.kind) == ("publish order/<int:pk>", SpanKind.PRODUCER)
    assert attributes(found) == {
        "messaging.system": "django-channels-realtime",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "order/7",
        "messaging.destination.template": "order/<int:pk>",
        "messaging.batch.message_count": 3,
    }


def test_a_publish_belongs_to_the_request(record: Recorded) -> None:
    tracer = record.provider.get_tracer("site")
    with tracer.start_as_current_span("GET /order/7"), spans.publish("general"):
        pass
    published, request = record.all
    assert is_child(published, request)


def test_a_command_is_a_root_with_a_link_to_its_connection(record: Recorded) -> None:
    tracer = record.provider.get_tracer("site")
    with tracer.start_as_current_span("websocket"), spans.command("join", "n.1", "general"):
        pass
    command, socket = record.all
    assert (command.name, command.kind, command.parent) == ("command join", SpanKind.SERVER, None)
    assert [link.context.span_id for link in command.links] == [socket.get_span_context().span_id]
    assert attributes(command)["messaging.client.id"] == "n.1"


def origins(number: int) -> list[Any]:
    found = []
    for _ in range(number):
        with spans.publish("t") as span:
            found.append(span.origin)
    return found


def test_a_batch_of_several_origins_has_links(record: Recorded) -> None:
    first, second = origins(2)
    spans.batch("number", [None, first, second, first]).end()
    found = record.one("number")
    assert found.parent == first
    assert [link.context for link in found.links] == [second]


def test_a_batch_of_very_many_origins_has_no_more_links_than_the_sdk_keeps(
    record: Recorded,
) -> None:
    spans.batch("number", origins(2 * MOST_LINKS)).end()
    assert len(record.one("number").links) == MOST_LINKS
    assert record.one("number").dropped_links == 0


def test_a_batch_without_origins_has_no_span(record: Recorded) -> None:
    assert spans.batch("deliver", [None, None]) is OFF


def test_a_batch_is_sampled_as_its_first_origin_is() -> None:
    """Without a parent, a ratio would decide anew, and most batches of a trace would be lost."""
    with recorded(ParentBased(TraceIdRatioBased(0.0))) as record:
        remote = spans.read(f"00-{'f' * 32}-{'1' * 16}-01")
        spans.batch("deliver", [remote]).end()
        assert record.one("deliver").parent == remote


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, TraceIdRatioBased(0.0)])
def test_what_is_not_sampled_has_no_origin(sampler: Sampler) -> None:
    with recorded(sampler) as record:
        with spans.publish("t") as span:
            assert span.origin is None
            assert spans.current() is None
        assert record.all == []


def test_an_origin_is_read_as_it_was_written(record: Recorded) -> None:
    [origin] = origins(1)
    text = write(origin)
    found = spans.read(text)
    assert found is not None
    assert (found.trace_id, found.span_id) == (origin.trace_id, origin.span_id)
    assert found.is_remote
    assert found.trace_flags.sampled
    assert write(found) == text


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        b"00-",
        "",
        "00",
        f"00-{'1' * 32}-{'1' * 16}",
        f"01-{'1' * 32}-{'1' * 16}-01",
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"00-{'g' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'1' * 16}-01\n",
        f"00-{'1' * 31}１-{'1' * 16}-01",  # noqa: RUF001 - a digit of another script
    ],
)
def test_a_broken_origin_is_none(record: Recorded, text: object) -> None:
    assert spans.read(text) is None


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (ValueError("secret"), "ValueError", StatusCode.ERROR),
        (CommandError("sold_out", "secret"), "sold_out", StatusCode.UNSET),
        (CommandError(ErrorCode.INTERNAL, "secret"), "internal", StatusCode.ERROR),
        (Disconnect(4005), "Disconnect", StatusCode.UNSET),
    ],
)
async def test_of_an_error_only_the_kind_is_told(
    record: Recorded, error: Exception, kind: str, status: StatusCode
) -> None:
    async def work() -> None:
        raise error

    with pytest.raises(type(error)):
        await within(spans.command("join", "c"), work())
    [found] = record.all
    assert (attributes(found)["error.type"], found.status.status_code) == (kind, status)
    assert "secret" not in found.to_json()


class Raising(SpanProcessor):
    """Fails at one of its methods."""

    def __init__(self, at: str) -> None:
        self._at = at

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        if self._at == "start":
            raise RuntimeError("no start")

    def on_end(self, span: ReadableSpan) -> None:
        if self._at == "end":
            raise RuntimeError("no end")


class RaisingExporter(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        raise RuntimeError("no export")


class RaisingSampler(Sampler):
    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        raise RuntimeError("no sample")

    def get_description(self) -> str:
        return "raises"


@pytest.mark.parametrize(
    "processor", [Raising("start"), Raising("end"), SimpleSpanProcessor(RaisingExporter()), None]
)
def test_a_fault_of_the_sdk_does_not_reach_the_site(
    processor: SpanProcessor | None, caplog: pytest.LogCaptureFixture
) -> None:
    sampler = {} if processor else {"sampler": RaisingSampler()}
    with recorded(processor=processor, **sampler), spans.publish("t") as span:
        span.note(connections=1)
        span.end()
    assert "no " in caplog.text


SNIPPET = re.search(r"```python\n(.*?)```", (DOCS / "spans.md").read_text(), re.DOTALL)
SHOWN = """
from realtime.spans import spans
with spans.publish("order/7"):
    pass
provider.shutdown()
"""


def test_the_snippet_of_the_page_sets_a_provider() -> None:
    """In a process of its own: a provider can be set only once."""
    assert SNIPPET is not None
    code = SNIPPET[1] + SHOWN
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert json.loads(done.stdout)["name"] == "publish"


def test_the_page_names_each_span() -> None:
    names = re.findall(r"^\| `(\w+)(?: \w+)?` \| (\w+) \|", (DOCS / "spans.md").read_text(), re.M)
    kinds = {name: kind.lower() for name, (kind, _) in OPERATIONS.items()}
    assert dict(names) == kinds | {"command": "server"}
