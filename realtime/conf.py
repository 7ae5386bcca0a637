"""Read the settings of the package, `settings.REALTIME`; no other module reads them."""

from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

__all__ = ["CREATORS", "Config", "config", "known_keys"]

CREATORS = ("users", "staff", "nobody")
"""The values of `CREATE_ROOMS`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Every setting of the package with its default; keys of `REALTIME` are these in capitals."""

    channel_layer: str = "default"
    """The alias in `CHANNEL_LAYERS` that carries events between processes."""
    site: str = ""
    """A label that separates this site from a copy of it on the same channel layer."""
    guests: bool = False
    """Whether a client without credentials may use public rooms as a guest."""
    allowed_origins: list[str] = field(default_factory=list)
    """More origins that may open sockets, such as `https://example.com`."""
    require_origin: bool = False
    """Whether a client without an `Origin` header is refused."""
    display_name: str = ""
    """The name that others see: an attribute or method of the user, or a function's dotted path."""
    reserved_names: list[str] = field(
        default_factory=lambda: [
            *("admin", "admins", "administrator", "administrators", "mod", "moderator"),
            *("moderators", "operator", "owner", "official", "realtime", "root", "staff"),
            *("superuser", "support", "sysadmin", "system", "team", "webmaster"),
        ]
    )
    """Names that no guest may take, alone or as a word of the name."""
    policy: str = "realtime.policy.Policy"
    """The class that decides permissions."""
    hooks: str = "realtime.hooks.Hooks"
    """The class with the hooks of the site."""
    hook_seconds: float = 3
    """Seconds that `before_message` may take before its message is refused."""
    create_rooms: str = "staff"
    """Which users may create rooms: "users", "staff" with the permission, or "nobody"."""
    direct_rooms: bool = True
    """Whether two users may open a direct room."""
    rooms_per_user: int = 20
    """The most existing rooms that one user has made by `create`."""
    blocks_per_user: int = 500
    """The most users and guests that one user may block."""
    invitation_seconds: int = 7 * 24 * 60 * 60
    """Seconds for which an invitation is valid."""
    kick_seconds: int = 60
    """Seconds for which a kick keeps a user out."""

    authenticators: list[str] = field(
        default_factory=lambda: [
            "realtime.auth.users.ScopeUser",
            "realtime.auth.sessions.SessionCookie",
            "realtime.auth.tickets.Ticket",
            "realtime.auth.guests.GuestToken",
        ]
    )
    """The classes that authenticate connections, in this order."""
    first_message_auth: bool = True
    """Whether a client without any credentials may send them as its first command."""
    auth_seconds: float = 5
    """Seconds for which the server waits for these credentials."""
    recheck_seconds: float = 60
    """The interval in which session, user and token of each connection are revalidated."""
    topic_recheck_seconds: float = 300
    """The longest interval in which the right to each subscribed topic is checked again."""
    ticket_seconds: int = 30
    """Seconds for which a ticket is valid, at most 60."""
    jwt_algorithms: list[str] = field(default_factory=list)
    """The algorithms that a JWT may be signed with; never `none`, and not `HS` with others."""
    jwt_key: str = field(default="", repr=False)
    """The secret (`HS`) or public key in PEM (`RS`, `ES`) of all JWTs."""
    jwt_key_function: str = ""
    """Or a function that takes the unverified header of a JWT and returns the key."""
    jwt_jwks_file: str = ""
    """Or a file with a JSON Web Key Set, from which `kid` chooses; read again when it changes."""
    jwt_audience: str = ""
    """The required value of `aud`; empty: a JWT must not have any."""
    jwt_issuer: str = ""
    """The required `iss`; empty for no check."""
    jwt_claims: dict[str, Any] = field(default_factory=dict)
    """Required claims: a value, a list of values, `"*"` for any value, or None for no check."""
    jwt_leeway_seconds: int = 10
    """The clock skew allowed to the issuer, at most 30."""
    jwt_user_claim: str = "sub"
    """The claim that identifies the user of a JWT."""
    jwt_user_field: str = "pk"
    """The unique field of the user model with the same value."""

    heartbeat_seconds: int = 20
    """The heartbeat: a silent client is pinged after this time, and closed after twice as long."""
    frame_bytes: int = 64 * 1024
    """The largest frame that a client may send."""
    commands_per_frame: int = 100
    """The most commands in one frame."""
    receive_bytes_per_second: int = 128 * 1024
    """Bytes of one user that are decoded a second; a faster client is read more slowly."""
    receive_bytes_burst: int = 512 * 1024
    """How many of them at once."""
    content_characters: int = 4000
    """The longest text of a message."""
    last_address_seconds: int = 60 * 60
    """The seconds for which a guest's last address is kept for bans and mutes; 0 keeps none."""
    guest_seconds: int = 90 * 24 * 60 * 60
    """Seconds for which the token of a guest is valid."""
    rooms_per_connection: int = 100
    """The most rooms that one connection may be in."""
    messages_per_second: float = 10
    """Messages and signals of one user, over all its connections in a process."""
    messages_burst: int = 30
    """How many of them at once."""
    commands_per_second: float = 30
    """Other commands of one user."""
    commands_burst: int = 60
    """How many of them at once."""
    joins_per_second: float = 10
    """Rooms that one user joins; as many at once as one connection may be in."""
    topics_per_connection: int = 100
    """The most topics that one connection may be subscribed to."""
    subscribes_per_second: float = 20
    """Topics that one user subscribes to; at once twice as many as one connection may have."""
    rooms_per_minute: float = 10
    """Rooms that one user creates, members that one adds, and direct rooms that one opens."""
    message_bytes_per_hour: int = 8 * 1024 * 1024
    """Bytes of messages that one user stores; guests of one address together have twice that."""
    message_days: float = 0
    """The age of removed messages in rooms without their own; 0 keeps them, else at least 7."""
    held_topics: list[str] = field(default_factory=list)
    """Topics on legal hold, from which nothing is removed: names, where `*` is any text."""
    guest_message_days: float = 0
    """The age at which `retention.prune` erases guests' messages; 0 keeps them, else at least 7."""
    acts_per_minute: float = 60
    """Moderation commands of one user, with deleting, configuring a room, and blocking."""
    reports_per_minute: float = 5
    """Messages that one user reports."""
    open_reports: int = 20
    """Open reports of one reporter; guests of one address together have twice that."""
    audit_entries: int = 1000
    """Entries in the audit log of one room owner or moderator who is not staff."""
    ended_sanction_days: float = 30
    """Days for which the admin keeps an ended ban or mute."""
    messages_in_flight: int = 64
    """Messages of one connection that may wait for their commit at the same time."""
    handler_seconds: float = 5
    """Seconds for which a command may run before the server answers `unavailable`."""

    connections_per_user: int = 20
    """Connections of one user in a process; more are refused with 4014, and may retry."""
    connections_per_address: int = 100
    """Connections of users from one IP address in a process, and as many of guests (4014)."""
    handshakes_per_second: float = 20
    """Handshakes from one IP address or one /64 of IPv6; more are refused with 4029."""
    handshakes_burst: int = 200
    """How many of them at once."""
    connections_per_process: int = 10_000
    """Connections of a process; more are refused with 4013, to try another one."""
    trusted_proxies: int = 0
    """Your proxies that add to `X-Forwarded-For`; with 0, private addresses are exempt."""

    outbox_frames: int = 500
    """Frames that may wait for a slow client before it is closed with 4008."""
    outbox_bytes: int = 1024 * 1024
    """Bytes that may wait for it."""
    outbox_warn_at: float = 0.8
    """The share of either bound at which a warning is logged."""
    write_timeout_seconds: float = 10
    """Seconds for which the server retries to store a message while the database is unavailable."""
    db_threads: int = 4
    """Threads for reading; 0 shares Django's own thread, as tests need."""
    call_threads: int = 4
    """Threads for synchronous commands, and as many for hooks; four more ask for permissions."""
    ring_bytes: int = 64 * 1024 * 1024
    """Memory of a process for recent messages."""

    pulse_seconds: float = 5
    """How often positions are compared with the database and the lease is renewed."""
    lease_seconds: float = 30
    """Seconds for which a node counts as alive after its last renewal."""
    presence_grace_seconds: float = 3
    """Seconds for which a user stays present after the last connection has closed."""
    presence_events_up_to: int = 200
    """The most present users up to which each join and leave is broadcast."""

    metrics: str = ""
    """Access to `/realtime/metrics`: "" (404), "staff", "token", or a function's dotted path."""
    metrics_token: str = field(default="", repr=False)
    """The token that a scraper sends as `Authorization: Bearer …`, with `METRICS = "token"`."""


def known_keys() -> list[str]:
    """Return the keys that `REALTIME` may have."""
    return [field.name.upper() for field in fields(Config)]


@cache
def config() -> Config:
    """Return the current settings; unknown keys are left to the system check."""
    given: dict[str, Any] = getattr(settings, "REALTIME", {})
    known = {key.lower(): value for key, value in given.items() if key in known_keys()}
    return Config(**known)


def _clear_cache(*, setting: str, **_: Any) -> None:
    if setting == "REALTIME":
        config.cache_clear()


setting_changed.connect(_clear_cache, dispatch_uid="realtime.conf")
