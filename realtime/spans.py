"""Spans of OpenTelemetry, from a publish to its delivery; nothing where no tracer provider is set.

The API is imported only after the site has imported it, because nobody can set a provider before.
A sampler, processor or exporter that fails is logged, and never fails what is traced.
"""

import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .logs import get_logger
from .wire.errors import CommandError, Disconnect, ErrorCode

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext, Tracer
else:
    SpanContext = Any  # of annotations that others may evaluate

__all__ = ["OFF", "Origin", "Span", "Spans", "spans", "within", "write"]

logger = get_logger("realtime.spans")

T = TypeVar("T")
Origin = SpanContext
"""The span that something comes from."""
API = "opentelemetry.trace"
SCOPE = __package__.partition(".")[0]
SYSTEM = "django-channels-realtime"
LOOK_SECONDS = 1.0
"""The pause between two looks for a provider, which may be set late."""
MOST_LINKS = 128
"""The most links of a span, as in the SDK."""
OPERATIONS = {
    "publish": ("PRODUCER", "send"),
    "commit": ("INTERNAL", ""),
    "number": ("INTERNAL", ""),
    "fan_out": ("PRODUCER", "send"),
    "deliver": ("CONSUMER", "process"),
}
"""The kind of each span, and its `messaging.operation.type`."""
COMMAND = ("SERVER", "process")
FAULTS = (ErrorCode.INTERNAL, ErrorCode.UNAVAILABLE)
"""The refusals that are faults of the server."""
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)
FAILED = "a span cannot be written"


class Span:
    """An open span, which is the current one in a `with` block; `OFF` stands for none."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Any = None) -> None:
        self._span = span
        self._token: Any = None

    @property
    def origin(self) -> Origin | None:
        """The origin of what follows; None if nothing is recorded."""
        if self._span is None or not self._span.is_recording():
            return None
        found: Origin = self._span.get_span_context()
        return found

    def note(self, **attributes: str | int) -> None:
        """Add attributes, whose names begin with `realtime.`."""
        if self._span is not None:
            with _contained():
                self._span.set_attributes(_own(attributes))

    def end(self, error: BaseException | None = None) -> None:
        """End the span; of an error only the kind is told, because its text may have contents."""
        span, self._span = self._span, None
        if span is not None:
            with _contained():
                if error is not None:
                    _tell(span, error)
                span.end()

    def __enter__(self) -> Self:
        if self._span is not None:
            from opentelemetry import context, trace

            self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._token is not None:
            from opentelemetry import context

            context.detach(self._token)
            self.end(error)


OFF = Span()


class Spans:
    """The tracer of this process, once the site has set a provider."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Look for a provider again, as tests need it."""
        self._tracer: Tracer | None = None
        self._look_at = 0.0

    @property
    def is_on(self) -> bool:
        """Whether there is a tracer."""
        return self._tracer is not None or (API in sys.modules and self._look())

    def current(self) -> Origin | None:
        """Return the origin of what the caller does; None if nothing is recorded."""
        if not self.is_on:
            return None
        from opentelemetry import trace

        return Span(trace.get_current_span()).origin

    def publish(self, destination: str, number: int = 1, template: str = "") -> Span:
        """Begin the span of what the site's code publishes to a topic or room.

        An empty destination stands for several ones.
        """
        if not self.is_on:
            return OFF
        kind, operation_type = OPERATIONS["publish"]
        about = _about("publish", operation_type, destination, number)
        if template:
            about["messaging.destination.template"] = template
        name = f"publish {template}" if template else "publish"
        return self._begin(kind, name, None, (), about)

    def command(self, name: str, client: str, destination: str = "", number: int = 1) -> Span:
        """Begin the span of a command of a client.

        It is the root of a trace, with a link to the span of its connection, if there is one: a
        connection may last for days.
        """
        if not self.is_on:
            return OFF
        from opentelemetry import trace
        from opentelemetry.context import Context

        kind, operation_type = COMMAND
        about = _about(name, operation_type, destination, number)
        about["messaging.client.id"] = client
        around = trace.get_current_span().get_span_context()
        links = [around] if around.is_valid else []
        return self._begin(kind, f"command {name}", Context(), links, about)

    def batch(
        self,
        operation: str,
        origins: Iterable[Origin | None],
        destination: str = "",
        number: int = 1,
        began: int | None = None,
    ) -> Span:
        """Begin the span of what is done for several origins at once; `OFF` without any.

        The first origin is its parent, so that a sampler decides as it did for that one; the others
        are links. `began` is its begin in nanoseconds, if that is over.
        """
        found = list({one.span_id: one for one in origins if one is not None}.values())
        if not found or not self.is_on:
            return OFF
        kind, operation_type = OPERATIONS[operation]
        about = _about(operation, operation_type, destination, number)
        return self._begin(kind, operation, _context_of(found[0]), found[1:], about, began)

    def bound(self, function: Callable[..., T]) -> Callable[..., T]:
        """Return a function for another thread, which continues there what the caller does."""
        if not self.is_on:
            return function
        from opentelemetry import context

        carried = context.get_current()

        def run(*args: Any) -> T:
            token = context.attach(carried)
            try:
                return function(*args)
            finally:
                context.detach(token)

        return run

    def read(self, traceparent: object) -> Origin | None:
        """Return the origin that another process has written; None if it is broken or not used."""
        if not isinstance(traceparent, str) or not self.is_on:
            return None
        found = TRACEPARENT.fullmatch(traceparent)
        if found is None:
            return None
        from opentelemetry.trace import SpanContext, TraceFlags

        trace_id, span_id, flags = (int(part, 16) for part in found.groups())
        origin = SpanContext(trace_id, span_id, True, TraceFlags(flags))
        return origin if origin.is_valid else None

    def _look(self) -> bool:
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        with _contained():
            from opentelemetry import trace

            provider = trace.get_tracer_provider()
            if not isinstance(provider, trace.ProxyTracerProvider):
                self._tracer = provider.get_tracer(SCOPE)
        return self._tracer is not None

    def _begin(
        self,
        kind: str,
        name: str,
        context: "Context | None",
        links: Sequence[Origin],
        attributes: dict[str, str | int],
        began: int | None = None,
    ) -> Span:
        from opentelemetry.trace import Link, SpanKind

        with _contained():
            if self._tracer is not None:
                span = self._tracer.start_span(
                    name,
                    context=context,
                    kind=SpanKind[kind],
                    attributes=attributes,
                    links=[Link(one) for one in links[:MOST_LINKS]],
                    start_time=began,
                )
                return Span(span)
        return OFF


def write(origin: Origin) -> str:
    """Return an origin as another process reads it: the `traceparent` of W3C Trace Context."""
    return f"00-{origin.trace_id:032x}-{origin.span_id:016x}-{origin.trace_flags:02x}"


def _tell(span: Any, error: BaseException) -> None:
    from opentelemetry.trace import Status, StatusCode

    refusal = error.code if isinstance(error, CommandError) else None
    span.set_attribute("error.type", type(error).__qualname__ if refusal is None else str(refusal))
    is_fault = isinstance(error, Exception) and not isinstance(error, Disconnect)
    if is_fault and (refusal is None or refusal in FAULTS):
        span.set_status(Status(StatusCode.ERROR))


async def within(span: Span, work: Awaitable[T]) -> T:
    """Await work within a span."""
    with span:
        return await work


@contextmanager
def _contained() -> Iterator[None]:
    try:
        yield
    except Exception:
        logger.exception(FAILED)


def _context_of(origin: Origin) -> "Context":
    from opentelemetry import trace
    from opentelemetry.context import Context

    return trace.set_span_in_context(trace.NonRecordingSpan(origin), Context())


def _about(name: str, operation_type: str, destination: str, number: int) -> dict[str, str | int]:
    """Return the attributes of a span, by the conventions of OpenTelemetry for messaging."""
    about: dict[str, str | int] = {"messaging.system": SYSTEM, "messaging.operation.name": name}
    if operation_type:
        about["messaging.operation.type"] = operation_type
    if destination:
        about["messaging.destination.name"] = destination
    if number != 1:
        about["messaging.batch.message_count"] = number
    return about


def _own(attributes: dict[str, str | int]) -> dict[str, str | int]:
    return {f"realtime.{name}": value for name, value in attributes.items()}


spans = Spans()
