"""System checks: find mistakes of the settings before users do.

Each has a stable id. Checks marked `deploy` run only with `check --deploy`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ValidationError
from django.db import connections
from django.db.models import CharField, EmailField, TextField
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string
from django.utils.version import get_version_tuple

from ..auth.checks import check_authenticators
from ..conf import CREATORS, Config, config, known_keys
from ..hooks import Hooks
from ..policy import Policy
from ..store.accounts.identity import GUEST, KEY_CHARACTERS, SITE
from .configured import configured, missed
from .database import (
    alias,
    check_connections,
    check_database,
    check_max_connections,
    is_sqlite,
)
from .layer import check_redis
from .metrics import check_metrics
from .origins import check_origins, check_proxies
from .package import check_package
from .ranges import misfits
from .servers import check_asgi, check_runserver
from .topics import check_topics

__all__ = [
    "check_allowed_hosts",
    "check_asgi",
    "check_authenticators",
    "check_channel_layer",
    "check_connections",
    "check_daphne",
    "check_database",
    "check_health",
    "check_layer_prefix",
    "check_max_connections",
    "check_metrics",
    "check_names",
    "check_origins",
    "check_package",
    "check_proxies",
    "check_redis",
    "check_runserver",
    "check_settings",
    "check_sqlite",
    "check_topics",
    "check_user_keys",
    "check_versions",
]

CORE_LAYER = "channels_redis.core.RedisChannelLayer"
REDIS_LAYERS = (CORE_LAYER, "channels_redis.pubsub.RedisPubSubChannelLayer")
MEMORY_LAYER = "channels.layers.InMemoryChannelLayer"
CORE_POP_SECONDS = 5
CORE_CAPACITY = 100
"""The default number of messages that the core layer keeps for a channel."""
HEALTH = "realtime.middleware.health"
DAPHNE = (4, 2, 2)
ADVISORY = "forged headers, uploads without a limit (CVE-2026-3902, CVE-2026-5766)"
FIXED_IN = (
    ("Django", (5, 2), (5, 2, 14), ADVISORY),
    ("Django", (6, 0), (6, 0, 5), ADVISORY),
    ("msgpack", (), (1, 2, 1), "a frame may end the process (CVE-2026-57585)"),
    ("redis", (), (4, 5, 5), "answers of other requests (CVE-2023-28859)"),
    ("Twisted", (), (24, 7), "answers to others' requests (CVE-2024-41671)"),
)
"""Packages: the series of versions if not all, the first fixed version, and the vulnerability."""


# REALTIME


@register("realtime")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Check REALTIME: a dict (E001), keys (E002), types and ranges (E007), POLICY and HOOKS (E006).

    Also CREATE_ROOMS (E008), and numbers that do not fit each other (E014, W011, W012, W013).
    """
    given = getattr(settings, "REALTIME", {})
    if not isinstance(given, dict):
        return [Error("REALTIME must be a dict.", id="realtime.E001")]
    unknown = [_unknown(key) for key in given if key not in known_keys()]
    return unknown + (
        list(_wrong_types(given)) or [*_missing_classes(), *_unknown_creators(), *misfits(config())]
    )


def _unknown(key: Any) -> CheckMessage:
    near = get_close_matches(str(key).upper(), known_keys(), n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known_keys())}."
    return Error(f"REALTIME has an unknown key {key!r}.", hint=hint, id="realtime.E002")


def _wrong_types(given: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for field in fields(Config):
        key = field.name.upper()
        if key in given and (wanted := missed(given[key], field.type, field.name)):
            yield Error(f"REALTIME[{key!r}] must be {wanted}.", id="realtime.E007")


def _missing_classes() -> Iterator[CheckMessage]:
    for key, base in (("POLICY", Policy), ("HOOKS", Hooks)):
        try:
            found = import_string(getattr(config(), key.lower()))
        except ImportError as error:
            text = f"REALTIME[{key!r}] cannot be imported."
            yield Error(text, hint=str(error), id="realtime.E006")
            continue
        if not (isinstance(found, type) and issubclass(found, base)):
            name = f"{base.__module__}.{base.__name__}"
            text = f"REALTIME[{key!r}] must name a subclass of {name}."
            yield Error(text, id="realtime.E006")


def _unknown_creators() -> Iterator[CheckMessage]:
    if config().create_rooms not in CREATORS:
        text = f"REALTIME['CREATE_ROOMS'] must be one of {', '.join(CREATORS)}."
        yield Error(text, id="realtime.E008")


@register("realtime")
def check_names(**kwargs: Any) -> list[CheckMessage]:
    """Check DISPLAY_NAME: it exists (E070), is set if usernames are e-mail addresses (W070)."""
    name, model = configured("display_name"), get_user_model()
    if not name and isinstance(model._meta.get_field(model.USERNAME_FIELD), EmailField):
        text = "Usernames are e-mail addresses: users are shown as a number."
        hint = "Set DISPLAY_NAME; 'get_username' shows the addresses to all users."
        return [CheckWarning(text, hint=hint, id="realtime.W070")]
    return [] if not name or _is_display_name(name) else [_no_display_name(name)]


def _is_display_name(name: str) -> bool:
    if "." not in name:
        model: Any = get_user_model()
        fields = {field.name for field in model._meta.get_fields()}
        return hasattr(model, name) or name in fields
    try:
        return callable(import_string(name))
    except ImportError:
        return False


def _no_display_name(name: str) -> CheckMessage:
    text = f"REALTIME['DISPLAY_NAME'] is {name!r}, which the user model does not have."
    hint = "Name an attribute or method of the user, or a function by its dotted path."
    return Error(text, hint=hint, id="realtime.E070")


# The channel layer


@register("realtime")
def check_channel_layer(**kwargs: Any) -> list[CheckMessage]:
    """Check for a layer that processes share (W001), and a core layer that loses nothing.

    W002 is its socket timeout, W003 its capacity.
    """
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    name = configured("channel_layer")
    layer = layers.get(name)
    if layer is None and layers:
        return [
            CheckWarning(
                f"CHANNEL_LAYERS has no {name!r}: server processes get no events of each other.",
                id="realtime.W001",
            )
        ]
    if layer is None or layer.get("BACKEND") == MEMORY_LAYER:
        return [] if settings.DEBUG or is_sqlite() else [_alone()]
    return list(_core(layer.get("CONFIG", {}))) if layer.get("BACKEND") == CORE_LAYER else []


def _alone() -> CheckMessage:
    return CheckWarning(
        "There is no channel layer that server processes share.",
        hint="Set CHANNEL_LAYERS to channels_redis.pubsub.RedisPubSubChannelLayer; with a single "
        "process this can be silenced.",
        id="realtime.W001",
    )


def _core(layer: Mapping[str, Any]) -> Iterator[CheckMessage]:
    hosts = layer.get("hosts") or ["redis://localhost:6379"]
    is_short = any(_socket_timeout(host) <= CORE_POP_SECONDS for host in hosts)
    if is_short and get_version_tuple(redis.__version__)[0] >= 8:
        yield CheckWarning(
            "Idle sockets will be closed: with redis-py 8 the core layer needs a longer "
            "socket_timeout.",
            hint='Give hosts as {"address": …, "socket_timeout": 15}, or use '
            "channels_redis.pubsub.RedisPubSubChannelLayer.",
            id="realtime.W002",
        )
    if layer.get("capacity", CORE_CAPACITY) <= CORE_CAPACITY:
        yield CheckWarning(
            f"The channel layer drops messages if {CORE_CAPACITY} others wait; they arrive late.",
            hint="Raise its capacity to 10000.",
            id="realtime.W003",
        )


@register("realtime")
def check_layer_prefix(**kwargs: Any) -> list[CheckMessage]:
    """Check that a Redis layer has a prefix (W030), which separates its groups from other sites."""
    name = configured("channel_layer")
    layer = getattr(settings, "CHANNEL_LAYERS", {}).get(name, {})
    if layer.get("BACKEND") not in REDIS_LAYERS or layer.get("CONFIG", {}).get("prefix"):
        return []
    return [
        CheckWarning(
            f"CHANNEL_LAYERS[{name!r}] has no prefix: consumers of another site on this Redis "
            "receive messages for this site's own consumers.",
            hint='Set CONFIG = {"prefix": "a name of this site", …}. What this package sends is '
            "kept apart without it.",
            id="realtime.W030",
        )
    ]


def _socket_timeout(host: Any) -> float:
    if isinstance(host, dict):
        if "socket_timeout" in host:
            timeout = host["socket_timeout"]
            return float("inf") if timeout is None else float(timeout)
        host = host.get("address")
    if not isinstance(host, str):
        return 0
    return float(parse_qs(urlsplit(host).query).get("socket_timeout", ["0"])[0])


# Daphne


@register("realtime")
def check_daphne(**kwargs: Any) -> list[CheckMessage]:
    """Check that Daphne stands before static files (E003), and limits sizes (E004)."""
    return [*_wrong_order(), *_old_daphne()]


def _wrong_order() -> Iterator[CheckMessage]:
    names = [app.name for app in apps.get_app_configs()]
    served = [name for name in names if name in ("daphne", "django.contrib.staticfiles")]
    if "daphne" in served[1:]:
        text = "daphne must stand before django.contrib.staticfiles in INSTALLED_APPS."
        yield Error(text, id="realtime.E003")


def _old_daphne() -> Iterator[CheckMessage]:
    installed = _installed("daphne")
    if installed and installed < DAPHNE:
        hint = "Older versions accept frames of any size (CVE-2026-44545, CVE-2026-44546)."
        yield Error("daphne must be 4.2.2 or newer.", hint=hint, id="realtime.E004")


# Vulnerabilities of other packages


@register("realtime")
def check_versions(**kwargs: Any) -> list[CheckMessage]:
    """Check for known vulnerabilities of packages that expose a site with sockets (W020)."""
    found: list[CheckMessage] = []
    for name, series, floor, hole in FIXED_IN:
        installed = _installed(name)
        if installed and installed[: len(series)] == series and installed < floor:
            text = f"{name} must be {'.'.join(map(str, floor))} or newer."
            found.append(
                CheckWarning(
                    text, hint=f"Older versions are vulnerable: {hole}.", id="realtime.W020"
                )
            )
    return found


def _installed(name: str) -> tuple[int, ...]:
    """Return the version of a package; empty if it is not installed."""
    try:
        return get_version_tuple(version(name))
    except PackageNotFoundError:
        return ()


# The database


@register("realtime", deploy=True)
def check_sqlite(**kwargs: Any) -> list[CheckMessage]:
    """Check that SQLite is set so that readers and writers do not block each other (W006)."""
    if not is_sqlite():
        return []
    options = connections[alias()].settings_dict["OPTIONS"]
    is_wal = "journal_mode=wal" in options.get("init_command", "").lower().replace(" ", "")
    if is_wal and options.get("transaction_mode", "").upper() == "IMMEDIATE":
        return []
    return [
        CheckWarning(
            "SQLite will report locks under load.",
            hint='Set OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 20, '
            '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"}.',
            id="realtime.W006",
        )
    ]


# Hosts


@register("realtime", deploy=True)
def check_allowed_hosts(**kwargs: Any) -> list[CheckMessage]:
    """Check that hosts are named (W008), because the origin of a socket is compared with them."""
    if settings.DEBUG or "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        CheckWarning(
            "ALLOWED_HOSTS has '*': a page under any name of this server may open sockets.",
            hint="Name the hosts.",
            id="realtime.W008",
        )
    ]


# Users


@register("realtime")
def check_user_keys(**kwargs: Any) -> list[CheckMessage]:
    """Check that primary keys of users fit the tables (W052), and differ from guests' (W053)."""
    field = _key_of_users()
    if not isinstance(field, (CharField, TextField)):
        return []
    found: list[CheckMessage] = []
    if field.max_length is None or field.max_length > KEY_CHARACTERS:
        text = f"A user whose primary key has more than {KEY_CHARACTERS} characters is refused."
        hint = f"Give the key of {settings.AUTH_USER_MODEL} max_length={KEY_CHARACTERS}, if any "
        hint += "is longer; else silence this."
        found.append(CheckWarning(text, hint=hint, id="realtime.W052"))
    if any(_is_valid(field, prefix + "1") for prefix in (GUEST, SITE)):
        text = f"A user whose primary key begins with {GUEST!r} or {SITE!r} is refused."
        hint = f"Give the key of {settings.AUTH_USER_MODEL} a validator that refuses colons; else "
        hint += "silence this."
        found.append(CheckWarning(text, hint=hint, id="realtime.W053"))
    return found


def _key_of_users() -> Any:
    field: Any = get_user_model()._meta.pk
    while field.remote_field:  # of a model that inherits from another
        field = field.target_field
    return field


def _is_valid(field: Any, value: str) -> bool:
    try:
        field.run_validators(value)
    except ValidationError:
        return False
    return True


# Health pages


@register("realtime", deploy=True)
def check_health(**kwargs: Any) -> list[CheckMessage]:
    """Check that health pages are not redirected (W050); their middleware is first (W051)."""
    if HEALTH in settings.MIDDLEWARE:
        if settings.MIDDLEWARE[0] == HEALTH:
            return []
        text = f"{HEALTH} must be the first entry of MIDDLEWARE."
        hint = "Middleware before it may redirect or refuse a load balancer."
        return [CheckWarning(text, hint=hint, id="realtime.W051")]
    if not settings.SECURE_SSL_REDIRECT or all(map(_is_exempt, _health_pages())):
        return []
    return [
        CheckWarning(
            "SECURE_SSL_REDIRECT redirects a load balancer that asks for the health pages.",
            hint=f'Put "{HEALTH}" first into MIDDLEWARE, or add r"/(live|ready)/?$" to '
            "SECURE_REDIRECT_EXEMPT.",
            id="realtime.W050",
        )
    ]


def _health_pages() -> list[str]:
    try:
        return [reverse("realtime:live"), reverse("realtime:ready")]
    except NoReverseMatch:
        return []


def _is_exempt(path: str) -> bool:
    """Return whether a path is exempt from the redirect, as SecurityMiddleware decides."""
    exempt = settings.SECURE_REDIRECT_EXEMPT
    return any(re.search(one, path.lstrip("/")) for one in exempt)
