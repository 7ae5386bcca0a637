"""The range of each numeric setting, and rules between settings."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from ..conf import Config

__all__ = ["RANGES", "misfits", "missed_range"]

HOUR, DAY = 60 * 60, 24 * 60 * 60
MANY = 10**9
"""More than any process or user can have; a larger number is a mistake of units."""
SMALLEST = 0.01
COUNT: tuple[float, float] = (1, MANY)
COUNT_OR_NONE: tuple[float, float] = (0, MANY)
RATE: tuple[float, float] = (0.001, MANY)
WAIT: tuple[float, float] = (SMALLEST, HOUR)

RANGES: dict[str, tuple[float, float]] = {
    "acts_per_minute": RATE,
    "audit_entries": COUNT,
    "auth_seconds": WAIT,
    "blocks_per_user": COUNT,
    "call_threads": (1, 1000),
    "commands_burst": COUNT,
    "commands_per_frame": COUNT,
    "commands_per_second": RATE,
    "connections_per_address": COUNT,
    "connections_per_process": COUNT,
    "connections_per_user": COUNT,
    "content_characters": COUNT,
    "db_threads": (0, 1000),
    "ended_sanction_days": (SMALLEST, 36_500),
    "frame_bytes": (1, 2**30),
    "guest_message_days": (0, 36_500),
    "guest_seconds": (1, 36_500 * DAY),
    "handler_seconds": WAIT,
    "handshakes_burst": COUNT,
    "handshakes_per_second": RATE,
    "heartbeat_seconds": (SMALLEST, HOUR),
    "hook_seconds": WAIT,
    "invitation_seconds": (1, 36_500 * DAY),
    "joins_per_second": RATE,
    "jwt_leeway_seconds": (0, 30),
    "kick_seconds": (1, 365 * DAY),
    "last_address_seconds": (0, 365 * DAY),
    "lease_seconds": WAIT,
    "message_bytes_per_hour": (1, 2**50),
    "message_days": (0, 36_500),
    "messages_burst": COUNT,
    "messages_in_flight": COUNT,
    "messages_per_second": RATE,
    "open_reports": COUNT,
    "outbox_bytes": (1, 2**40),
    "outbox_frames": COUNT,
    "outbox_warn_at": (SMALLEST, 1),
    "presence_events_up_to": COUNT_OR_NONE,
    "presence_grace_seconds": (0, HOUR),
    "pulse_seconds": WAIT,
    "receive_bytes_burst": (1, 2**40),
    "receive_bytes_per_second": (1, 2**40),
    "recheck_seconds": (SMALLEST, DAY),
    "reports_per_minute": RATE,
    "ring_bytes": (1, 2**40),
    "rooms_per_connection": COUNT,
    "rooms_per_minute": RATE,
    "rooms_per_user": COUNT,
    "subscribes_per_second": RATE,
    "ticket_seconds": (1, 60),
    "topic_recheck_seconds": (SMALLEST, DAY),
    "topics_per_connection": COUNT,
    "trusted_proxies": (0, 20),
    "write_timeout_seconds": WAIT,
}
"""The minimum and maximum of each number, both included."""

JSON_BYTES = 12
"""The most bytes of one character in a frame: JSON may need two escapes of six bytes."""
PROXY_SECONDS = 60
"""The default idle timeout of nginx and of the load balancers of AWS."""


class Fit(NamedTuple):
    """One setting that must be at least a multiple of another."""

    large: str
    times: int
    small: str
    kind: type[Error] | type[CheckWarning]
    id: str
    why: str


FITS = (
    Fit(
        *("LEASE_SECONDS", 2, "PULSE_SECONDS", Error, "realtime.E014"),
        "Other processes consider this one dead between two renewals of its lease.",
    ),
    Fit(
        *("FRAME_BYTES", JSON_BYTES, "CONTENT_CHARACTERS", CheckWarning, "realtime.W012"),
        "The longest message may not fit a frame, as JSON may take 12 bytes for a character.",
    ),
    Fit(
        *("OUTBOX_BYTES", 1, "FRAME_BYTES", CheckWarning, "realtime.W013"),
        "One large message would close every client that receives it (4008).",
    ),
    Fit(
        *("RECEIVE_BYTES_BURST", 1, "FRAME_BYTES", CheckWarning, "realtime.W013"),
        "One large frame would use up more than the allowance of its user.",
    ),
)


def missed_range(value: float, name: str) -> str:
    """Return the range of a setting as text; empty if `value` is in it."""
    least, most = RANGES.get(name, (SMALLEST, float("inf")))
    return "" if least <= value <= most else f"from {least:,} to {most:,}"


def misfits(given: Config) -> Iterator[CheckMessage]:
    """Find settings that are in range, but do not fit each other or a usual proxy."""
    for fit in FITS:
        large: Any = getattr(given, fit.large.lower())
        small: Any = getattr(given, fit.small.lower())
        if large < fit.times * small:
            times = f"{fit.times} times " if fit.times > 1 else ""
            text = f"{fit.large} ({large}) must be at least {times}{fit.small} ({small})."
            yield fit.kind(text, hint=fit.why, id=fit.id)
    if 2 * given.heartbeat_seconds >= PROXY_SECONDS:
        text = f"HEARTBEAT_SECONDS is {given.heartbeat_seconds}: proxies close idle connections."
        hint = (
            "Set HEARTBEAT_SECONDS below 30, so that two heartbeats fit into the 60 seconds of "
            "nginx and AWS; with a longer timeout in all proxies this can be silenced."
        )
        yield CheckWarning(text, hint=hint, id="realtime.W011")
