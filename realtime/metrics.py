"""The numbers of this process in the text format of Prometheus, and who may read them.

The names are a promise: dashboards of sites depend on them (docs/metrics.md).
"""

from collections.abc import Callable, Iterator, Mapping
from hmac import compare_digest
from itertools import accumulate
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.utils.module_loading import import_string

from .conf import config
from .counts import BOUNDS
from .engine.numbers import Numbers
from .worker_numbers import ALONE

__all__ = ["METRICS", "Metric", "is_allowed", "render"]

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
BEARER = "Bearer "


class Metric(NamedTuple):
    """One metric; `read` returns its value, or a dict of values by the value of `label`."""

    name: str
    kind: str
    help: str
    read: Callable[[Numbers], Any]
    label: str = ""


METRICS = (
    Metric("realtime_connections", GAUGE, "Open connections.", lambda n: n.gauges.connections),
    Metric("realtime_users", GAUGE, "Users and guests here.", lambda n: n.gauges.users),
    Metric("realtime_guest_connections", GAUGE, "Of guests.", lambda n: n.gauges.guests),
    Metric(
        "realtime_unauthenticated_connections",
        GAUGE,
        "Clients whose first command has to authenticate them.",
        lambda n: n.gauges.unauthenticated,
    ),
    Metric("realtime_rooms", GAUGE, "Rooms with clients here.", lambda n: n.gauges.rooms),
    Metric("realtime_topics", GAUGE, "Topics with clients here.", lambda n: n.gauges.topics),
    Metric(
        "realtime_subscriptions",
        GAUGE,
        "Connections in rooms and topics, counted in each.",
        lambda n: n.gauges.subscriptions,
    ),
    Metric(
        "realtime_outbox_frames",
        GAUGE,
        "Frames that wait for slow clients.",
        lambda n: n.gauges.queued_frames,
    ),
    Metric("realtime_outbox_bytes", GAUGE, "Their bytes.", lambda n: n.gauges.queued_bytes),
    Metric(
        "realtime_unwritten",
        GAUGE,
        "Messages and changes that are not committed yet.",
        lambda n: n.gauges.unwritten,
    ),
    Metric(
        "realtime_layer_up",
        GAUGE,
        "Whether the channel layer answers, 1 or 0.",
        lambda n: int(not n.is_layer_away),
    ),
    Metric(
        "realtime_lease_current",
        GAUGE,
        "Whether the lease was renewed in time, 1 or 0.",
        lambda n: int(n.is_current),
    ),
    Metric(
        "realtime_stopping",
        GAUGE,
        "Whether it stops or drains, 1 or 0.",
        lambda n: int(n.is_stopping),
    ),
    Metric("realtime_start_time_seconds", GAUGE, "Unix time.", lambda n: n.started_at),
    Metric("realtime_cpu_seconds_total", COUNTER, "CPU time.", lambda n: n.cpu_seconds),
    Metric(
        "realtime_connections_opened_total",
        COUNTER,
        "Connections that were opened.",
        lambda n: n.totals.opened,
    ),
    Metric(
        "realtime_connections_closed_total",
        COUNTER,
        "Connections that have ended, by close code.",
        lambda n: n.totals.closed,
        "code",
    ),
    Metric(
        "realtime_handshakes_refused_total",
        COUNTER,
        "Handshakes that did not become a connection.",
        lambda n: n.totals.refused,
        "reason",
    ),
    Metric(
        "realtime_frames_received_total",
        COUNTER,
        "Frames of clients.",
        lambda n: n.totals.frames_received,
    ),
    Metric(
        "realtime_received_bytes_total", COUNTER, "Their bytes.", lambda n: n.totals.bytes_received
    ),
    Metric("realtime_commands_total", COUNTER, "Commands.", lambda n: n.totals.commands),
    Metric("realtime_errors_total", COUNTER, "Replies `error`.", lambda n: n.totals.errors, "code"),
    Metric(
        "realtime_frames_sent_total", COUNTER, "Frames to clients.", lambda n: n.totals.frames_sent
    ),
    Metric("realtime_sent_bytes_total", COUNTER, "Their bytes.", lambda n: n.totals.bytes_sent),
    Metric(
        "realtime_deliveries_total",
        COUNTER,
        "Events times the connections that were sent them.",
        lambda n: n.totals.deliveries,
    ),
    Metric(
        "realtime_commit_seconds",
        HISTOGRAM,
        "From a message, change or awaited event to its commit.",
        lambda n: n.totals.acks,
    ),
    Metric(
        "realtime_published_total",
        COUNTER,
        "Events and values published to topics by code.",
        lambda n: n.totals.published,
    ),
    Metric(
        "realtime_numberings_total",
        COUNTER,
        "Transactions that numbered entries.",
        lambda n: n.totals.numberings,
    ),
    Metric(
        "realtime_numbered_total",
        COUNTER,
        "Published entries and messages that were numbered.",
        lambda n: n.totals.numbered,
    ),
    Metric(
        "realtime_gaps_repaired_total",
        COUNTER,
        "How often missing events were read from the database.",
        lambda n: n.totals.repairs,
    ),
    Metric(
        "realtime_events_repaired_total",
        COUNTER,
        "How many they were.",
        lambda n: n.totals.events_repaired,
    ),
    Metric(
        "realtime_notes_sent_total",
        COUNTER,
        "Notes to other processes.",
        lambda n: n.totals.notes_sent,
    ),
    Metric(
        "realtime_notes_received_total",
        COUNTER,
        "Notes from other processes.",
        lambda n: n.totals.notes_received,
    ),
)


class _Collector:
    """The numbers of some workers at one moment, for `prometheus_client`."""

    def __init__(self, workers: Mapping[str, Numbers]) -> None:
        self._workers = workers
        self._labels = [] if workers.keys() == {ALONE} else ["worker"]

    def collect(self) -> Iterator[Any]:
        """Return each metric with its values."""
        from prometheus_client.core import InfoMetricFamily

        info = InfoMetricFamily("realtime_node", "The process.", labels=self._labels)
        for worker, one in self._workers.items():
            if one.node or worker == ALONE:  # otherwise it has ended, and is replaced soon
                about = {"node": one.node, "version": one.version, "hostname": one.hostname}
                info.add_metric(self._values(worker), about)
        yield info
        for metric in METRICS:
            yield self._family(metric)

    def _values(self, worker: str) -> list[str]:
        return [worker] if self._labels else []

    def _family(self, metric: Metric) -> Any:
        family = _new_family(metric, self._labels)
        for worker, numbers in self._workers.items():
            labels, value = self._values(worker), metric.read(numbers)
            if metric.kind == HISTOGRAM:
                bounds = [*map(str, BOUNDS), "+Inf"]
                buckets = list(zip(bounds, accumulate(value.buckets), strict=True))
                family.add_metric(labels, buckets, value.seconds)
            elif metric.label:
                for label, number in value.items():
                    family.add_metric([*labels, label], number)
            else:
                family.add_metric(labels, value)
        return family


def render(workers: Mapping[str, Numbers], accept: str = "") -> tuple[bytes, str]:
    """Return numbers as text, and its content type, as the `Accept` header wants it.

    `workers` are the numbers of each process; one that is `ALONE` has no label. Raises
    `ImportError` without `prometheus_client`.
    """
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry(auto_describe=False)
    collector: Any = _Collector(workers)  # a `Collector` by its method
    registry.register(collector)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def is_allowed(request: HttpRequest) -> bool:
    """Return whether a request may read the numbers, as `METRICS` says; it may query."""
    match config().metrics:
        case "token":
            given = request.headers.get("Authorization", "")
            wanted = config().metrics_token
            token = given.removeprefix(BEARER) if given.startswith(BEARER) else ""
            return bool(wanted) and compare_digest(token.encode(), wanted.encode())
        case "staff":
            user: Any = getattr(request, "user", None)
            return user is not None and user.is_active and user.is_staff
        case path:
            # Only True: what a coroutine function returns would count as true.
            return bool(path) and import_string(path)(request) is True


def _new_family(metric: Metric, labels: list[str]) -> Any:
    from prometheus_client import core

    kinds = {
        COUNTER: core.CounterMetricFamily,
        GAUGE: core.GaugeMetricFamily,
        HISTOGRAM: core.HistogramMetricFamily,
    }
    names = [*labels, metric.label] if metric.label else labels
    return kinds[metric.kind](metric.name, metric.help, labels=names)
