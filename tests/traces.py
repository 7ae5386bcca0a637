"""Spans that the SDK of OpenTelemetry records, for the tests of a block."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from realtime.spans import SCOPE, spans


class Recorded:
    """The spans that have ended, in the order of their ends."""

    def __init__(self, provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
        self.provider = provider
        self._exporter = exporter

    @property
    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, *operations: str) -> list[ReadableSpan]:
        """Return the spans of these operations."""
        return [one for one in self.all if attributes(one).get(OPERATION) in operations]

    def one(self, operation: str) -> ReadableSpan:
        [found] = self.named(operation)
        return found


OPERATION = "messaging.operation.name"


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def destination(span: ReadableSpan) -> str:
    return str(attributes(span).get("messaging.destination.name", ""))


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    return span.parent is not None and span.parent.span_id == parent.get_span_context().span_id


@contextmanager
def recorded(
    sampler: Sampler = ALWAYS_ON, processor: SpanProcessor | None = None
) -> Iterator[Recorded]:
    """Set a provider in a block; the API lets a process set its own only once."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(processor or SimpleSpanProcessor(exporter))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "get_tracer_provider", lambda: provider)
        spans.reset()
        try:
            yield Recorded(provider, exporter)
        finally:
            spans.reset()
    assert {one.instrumentation_scope.name for one in exporter.get_finished_spans()} <= {
        SCOPE,
        "site",
    }
