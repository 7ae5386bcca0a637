"""The demo site with a tracer provider, which writes each span as a line of JSON to a file."""

import os
from collections.abc import Sequence
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

__all__ = ["application"]


FOLDER = os.environ.get("REALTIME_TEST_SPANS", "")
"""The folder of these files; without it, no provider is set."""


class FileExporter(SpanExporter):
    """Appends spans to the file of this process."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        path = Path(FOLDER) / f"{os.getpid()}.jsonl"
        with path.open("a") as file:
            file.writelines(f"{one.to_json(indent=None)}\n" for one in spans)
        return SpanExportResult.SUCCESS


if FOLDER:
    _provider = TracerProvider()
    _provider.add_span_processor(SimpleSpanProcessor(FileExporter()))
    trace.set_tracer_provider(_provider)

from project.asgi import application  # noqa: E402 - as a site that sets its provider first
