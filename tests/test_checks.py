"""Each system check speaks when it should, and is silent when not."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from hashlib import sha256
from importlib.metadata import distributions
from math import ceil, isfinite
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dj_database_url
import pytest
import redis
from channels.routing import ProtocolTypeRouter
from django.contrib.auth.models import User
from django.core.checks import CheckMessage, run_checks
from django.core.handlers.asgi import ASGIHandler
from django.core.management import call_command
from django.core.validators import RegexValidator
from django.db import connections, models
from packaging.requirements import Requirement
from pytest_django import DjangoDbBlocker, Settings

from harness.site import Sites
from realtime import checks
from realtime.auth.sessions import SessionCookie
from realtime.checks import layer, package, ranges, servers
from realtime.conf import Config
from realtime.topics.registry import registry

ROOT = Path(__file__).parent.parent
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
CORE = "channels_redis.core.RedisChannelLayer"
MEMORY = "channels.layers.InMemoryChannelLayer"
LONG_TIMEOUT = "redis://localhost:6379/0?socket_timeout=15"
SQLITE, POSTGRES = "django.db.backends.sqlite3", "django.db.backends.postgresql"


@pytest.fixture(autouse=True)
def _no_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    """The site has no topics, which need a larger pool."""
    monkeypatch.setattr("realtime.checks.database.registry", SimpleNamespace(site_classes=[]))


def ids(found: list[CheckMessage]) -> list[str]:
    return [message.id.removeprefix("realtime.") for message in found if message.id]


# REALTIME


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, []),
        ({"GUESTS": True, "ALLOWED_ORIGINS": ("https://a.example",)}, []),
        ([], ["E001"]),
        (None, ["E001"]),
        ({"GUEST": True}, ["E002"]),
        ({"guests": True}, ["E002"]),
        ({1: 2}, ["E002"]),
        ({"GUESTS": "yes"}, ["E007"]),
        ({"GUESTS": 1}, ["E007"]),
        ({"DB_THREADS": "4"}, ["E007"]),
        ({"DB_THREADS": True}, ["E007"]),
        ({"DB_THREADS": -1}, ["E007"]),
        ({"DB_THREADS": 0}, []),
        ({"OUTBOX_FRAMES": 0}, ["E007"]),
        ({"OUTBOX_FRAMES": 1.5}, ["E007"]),
        ({"MESSAGES_PER_SECOND": 0}, ["E007"]),
        ({"MESSAGES_PER_SECOND": 0.5}, []),
        ({"MESSAGES_PER_SECOND": 5}, []),
        ({"MESSAGES_PER_SECOND": None}, ["E007"]),
        ({"ALLOWED_ORIGINS": "https://a.example"}, ["E007"]),
        ({"ALLOWED_ORIGINS": [1]}, ["E007"]),
        ({"POLICY": 1}, ["E007"]),
        ({"TICKET_SECONDS": 61}, ["E007"]),
        ({"TICKET_SECONDS": 60, "JWT_LEEWAY_SECONDS": 0}, []),
        ({"JWT_LEEWAY_SECONDS": 31}, ["E007"]),
        ({"JWT_CLAIMS": ["token_type"]}, ["E007"]),
        ({"JWT_CLAIMS": {1: "access"}}, ["E007"]),
        ({"JWT_CLAIMS": {"token_type": "access", "nonce": None}}, []),
        ({"POLICY": "realtime.policy.Missing"}, ["E006"]),
        ({"POLICY": "missing.Policy"}, ["E006"]),
        ({"POLICY": "Policy"}, ["E006"]),
        ({"POLICY": "realtime.policy.policy"}, ["E006"]),
        ({"POLICY": "realtime.models.Room"}, ["E006"]),
        ({"CREATE_ROOMS": "somebody"}, ["E008"]),
        ({"CREATE_ROOMS": "users"}, []),
        ({"POLICY": "realtime.policy.Policy"}, []),
        ({"LEASE_SECONDS": 10, "PULSE_SECONDS": 5}, []),
        ({"LEASE_SECONDS": 9, "PULSE_SECONDS": 5}, ["E014"]),
        ({"PULSE_SECONDS": 30}, ["E014"]),
        ({"HEARTBEAT_SECONDS": 29}, []),
        ({"HEARTBEAT_SECONDS": 30}, ["W011"]),
        ({"CONTENT_CHARACTERS": 5461}, []),
        ({"CONTENT_CHARACTERS": 5462}, ["W012"]),
        ({"FRAME_BYTES": 40_000}, ["W012"]),
        ({"FRAME_BYTES": 50_000, "OUTBOX_BYTES": 50_000}, []),
        ({"OUTBOX_BYTES": 65_535}, ["W013"]),
        ({"RECEIVE_BYTES_BURST": 65_535}, ["W013"]),
        ({"GUEST": 1, "GUESTS": 2, "DB_THREADS": None}, ["E002", "E007", "E007"]),
    ],
    ids=repr,
)
def test_the_settings(settings: Settings, given: object, found: list[str]) -> None:
    settings.REALTIME = given
    assert ids(checks.check_settings()) == found


NUMBERS = {field.name: field for field in fields(Config) if field.type in (int, float)}


def test_each_number_has_a_range_that_its_default_is_in() -> None:
    assert ranges.RANGES.keys() == NUMBERS.keys()
    for name, (least, most) in ranges.RANGES.items():
        assert 0 <= least <= getattr(Config(), name) <= most < float("inf"), name


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_out_of_its_range_is_refused(settings: Settings, name: str) -> None:
    least, most = ranges.RANGES[name]
    wrong = [-1, least - 1, most * 1.001 + 1, float("nan"), float("inf"), -float("inf"), "1", True]
    if NUMBERS[name].type is int:
        wrong = [one if isinstance(one, (str, bool)) else as_whole(one) for one in wrong] + [1.5]
    for value in wrong:
        settings.REALTIME = {name.upper(): value}
        [message] = [one for one in checks.check_settings() if one.id == "realtime.E007"]
        assert name.upper() in message.msg


def as_whole(value: float) -> float:
    return int(value) if isfinite(value) else value


@pytest.mark.parametrize("name", NUMBERS)
def test_the_ends_of_a_range_are_accepted(settings: Settings, name: str) -> None:
    for value in ranges.RANGES[name]:
        whole = NUMBERS[name].type is int
        settings.REALTIME = {name.upper(): ceil(value) if whole else value}
        assert "E007" not in ids(checks.check_settings())


@pytest.mark.parametrize(
    ("origin", "is_good"),
    [
        ("https://a.example", True),
        ("https://a.example:8443", True),
        ("http://localhost:8000", True),
        ("https://*.a.example", True),
        ("http://[::1]:8000", True),
        ("a.example", False),
        ("//a.example", False),
        ("wss://a.example", False),
        ("https://a.example/", False),
        ("https://a.example/chat", False),
        ("https://a.example?x", False),
        (" https://a.example", False),
        ("https://a.example\n", False),
        ("https://A.example", False),
        ("HTTPS://a.example", False),
        ("https://a.example:", False),
        ("https://a*.example", False),
        ("https://user@a.example", False),
        ("*", False),
        ("null", False),
        ("", False),
    ],
)
def test_an_allowed_origin_is_what_a_browser_sends(
    settings: Settings, origin: str, is_good: bool
) -> None:
    settings.REALTIME = {"ALLOWED_ORIGINS": ["https://b.example", origin]}
    found = checks.check_origins()
    assert ids(found) == ([] if is_good else ["E015"])
    assert all(repr(origin) in one.msg for one in found)


@pytest.mark.parametrize(
    ("site", "given", "found"),
    [
        ({}, {}, []),
        ({"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")}, {}, ["W014"]),
        ({"USE_X_FORWARDED_HOST": True}, {}, ["W014"]),
        ({"USE_X_FORWARDED_PORT": True}, {}, ["W014"]),
        ({"USE_X_FORWARDED_HOST": True}, {"TRUSTED_PROXIES": 1}, []),
        ({"USE_X_FORWARDED_HOST": True}, {"TRUSTED_PROXIES": 0}, []),
    ],
)
def test_a_site_behind_a_proxy_says_how_many(
    settings: Settings, site: dict[str, Any], given: dict[str, Any], found: list[str]
) -> None:
    settings.REALTIME = given
    for name, value in site.items():
        setattr(settings, name, value)
    assert ids(checks.check_proxies()) == found


@pytest.mark.parametrize(
    ("key", "hint"),
    [("GUEST", "'GUESTS'"), ("pulse_secconds", "'PULSE_SECONDS'"), ("XYZZY", "OUTBOX_FRAMES")],
)
def test_an_unknown_key_is_told_the_nearest(settings: Settings, key: str, hint: str) -> None:
    settings.REALTIME = {key: 1}
    [message] = checks.check_settings()
    assert key in message.msg
    assert hint in (message.hint or "")


@pytest.mark.parametrize("given", [[], {"CHANNEL_LAYER": 1}, {"DB_THREADS": "x"}, {"NO": 1}])
def test_broken_settings_break_no_other_check(
    settings: Settings, django_db_blocker: DjangoDbBlocker, given: object
) -> None:
    settings.REALTIME = given
    away = {"HOST": "127.0.0.1", "PORT": "1", "OPTIONS": {"pool": True}}
    with database(ENGINE=POSTGRES, **away), django_db_blocker.unblock():
        assert {"W005"} <= set(ids(run_checks(include_deployment_checks=True)))


# Signing in

WEB = "realtime.auth.web_tokens.WebToken"
LONG = "a secret of at least thirty-two bytes"
GOOD = {
    "AUTHENTICATORS": [WEB],
    "JWT_ALGORITHMS": ["HS256"],
    "JWT_KEY": LONG,
    "JWT_AUDIENCE": "us",
}


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({}, []),
        ({"AUTHENTICATORS": ["missing.One"]}, ["E009"]),
        ({"AUTHENTICATORS": ["realtime.policy.Policy"]}, ["E009"]),
        ({"AUTHENTICATORS": ["realtime.auth.guests.new_guest"]}, ["E009"]),
        ({"AUTHENTICATORS": ["x", WEB]}, ["E009"]),
        ({"JWT_KEY": ""}, ["E011"]),
        ({"JWT_KEY": "", "AUTHENTICATORS": ["realtime.auth.tickets.Ticket"]}, []),
        ({"JWT_JWKS_FILE": "keys.json"}, ["E011"]),
        ({"JWT_KEY": "", "JWT_JWKS_FILE": "keys.json", "JWT_ALGORITHMS": ["RS256"]}, []),
        ({"JWT_KEY": "", "JWT_KEY_FUNCTION": "missing.find"}, ["E011"]),
        ({"JWT_KEY": "", "JWT_KEY_FUNCTION": "realtime.conf.config"}, []),
        ({"JWT_ALGORITHMS": []}, ["E012"]),
        ({"JWT_ALGORITHMS": ["none"]}, ["E012"]),
        ({"JWT_ALGORITHMS": ["HS256", "none"]}, ["E012"]),
        ({"JWT_ALGORITHMS": ["HS256", "RS256"]}, ["E012"]),
        ({"JWT_ALGORITHMS": ["RS256", "ES256"]}, []),
        ({"JWT_USER_FIELD": "first_name"}, ["E013"]),
        ({"JWT_USER_FIELD": "nothing"}, ["E013"]),
        ({"JWT_USER_FIELD": "username"}, []),
        ({"JWT_AUDIENCE": ""}, ["W009"]),
        ({"JWT_KEY": "short"}, ["W010"]),
    ],
    ids=repr,
)
def test_the_authenticators(settings: Settings, more: dict[str, Any], found: list[str]) -> None:
    settings.REALTIME = {**GOOD, **more}
    assert ids(checks.check_authenticators()) == found


@pytest.mark.parametrize(
    ("engine", "authenticators", "found"),
    [
        ("db", None, ["E020"]),
        ("cached_db", None, ["E020"]),
        ("cache", None, []),
        ("signed_cookies", None, []),
        ("missing", None, ["E020"]),
        ("db", ["realtime.auth.tickets.Ticket"], []),
        ("db", [f"{__name__}.OwnCookie"], ["E020"]),
    ],
)
def test_sessions_without_their_app(
    settings: Settings, engine: str, authenticators: list[str] | None, found: list[str]
) -> None:
    """Sessions that are rows need it, and only where they sign somebody in."""
    if authenticators is not None:
        settings.REALTIME = {"AUTHENTICATORS": authenticators}
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.INSTALLED_APPS = [
        app
        for app in settings.INSTALLED_APPS
        if app not in ("django.contrib.sessions", "django.contrib.admin")
    ]
    assert ids(checks.check_authenticators()) == found


class OwnCookie(SessionCookie):
    """An authenticator of a site's own."""


@pytest.mark.parametrize("engine", ["db", "cached_db", "cache", "file", "signed_cookies"])
def test_sessions_with_their_app(settings: Settings, engine: str) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    assert checks.check_authenticators() == []


def test_jwts_without_their_library_are_told_what_to_install(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REALTIME = GOOD
    monkeypatch.setitem(sys.modules, "jwt", None)
    monkeypatch.delitem(sys.modules, "realtime.auth.web_tokens", raising=False)
    [message] = checks.check_authenticators()
    assert message.id == "realtime.E010"
    assert "[jwt]" in (message.hint or "")


@pytest.mark.parametrize("given", [[], None, {"AUTHENTICATORS": None}, {"AUTHENTICATORS": [1]}])
def test_broken_settings_do_not_break_the_check(settings: Settings, given: object) -> None:
    settings.REALTIME = given
    assert checks.check_authenticators() == []


# The channel layer


def core(*hosts: Any, **config: Any) -> dict[str, Any]:
    return {"BACKEND": CORE, "CONFIG": {"hosts": list(hosts), "capacity": 10_000, **config}}


@contextmanager
def database(alias: str = "default", **values: Any) -> Iterator[None]:
    """Let a database be configured like this; nothing connects to it."""
    full = connections.configure_settings({"default": {"NAME": "x", **values}})["default"]
    before = connections.settings.get(alias), getattr(connections._connections, alias, None)
    connections.settings[alias] = full
    if before[1] is not None:
        delattr(connections._connections, alias)
    try:
        yield
    finally:
        if alias in connections.settings and hasattr(connections._connections, alias):
            delattr(connections._connections, alias)
        if before[0] is None:
            del connections.settings[alias]
        else:
            connections.settings[alias] = before[0]
        if before[1] is not None:
            setattr(connections._connections, alias, before[1])


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        ({"default": {"BACKEND": PUBSUB}}, []),
        ({"default": {"BACKEND": MEMORY}}, ["W001"]),
        ({}, ["W001"]),
        ({"other": {"BACKEND": PUBSUB}}, ["W001"]),
    ],
)
def test_a_layer_that_processes_share(
    settings: Settings, layers: dict[str, Any], found: list[str]
) -> None:
    settings.CHANNEL_LAYERS, settings.DEBUG = layers, False
    with database(ENGINE=POSTGRES, CONN_MAX_AGE=60):
        assert ids(checks.check_channel_layer()) == found


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        ({"BACKEND": PUBSUB}, ["W030"]),
        ({"BACKEND": PUBSUB, "CONFIG": {"hosts": []}}, ["W030"]),
        ({"BACKEND": PUBSUB, "CONFIG": {"prefix": ""}}, ["W030"]),
        ({"BACKEND": PUBSUB, "CONFIG": {"prefix": "shop"}}, []),
        ({"BACKEND": CORE, "CONFIG": {"capacity": 10_000, "hosts": [LONG_TIMEOUT]}}, ["W030"]),
        (
            {
                "BACKEND": CORE,
                "CONFIG": {"capacity": 10_000, "hosts": [LONG_TIMEOUT], "prefix": "shop"},
            },
            [],
        ),
        ({"BACKEND": "somebody.elses.Layer"}, []),
    ],
    ids=repr,
)
def test_a_shared_layer_has_a_prefix(
    settings: Settings, layer: dict[str, Any], found: list[str]
) -> None:
    settings.CHANNEL_LAYERS = {"default": layer}
    assert ids(checks.check_layer_prefix()) == found


@pytest.mark.parametrize(("debug", "engine"), [(True, POSTGRES), (False, SQLITE), (True, SQLITE)])
@pytest.mark.parametrize("layers", [{}, {"default": {"BACKEND": MEMORY}}], ids=["none", "memory"])
def test_a_single_process_needs_no_layer(
    settings: Settings, debug: bool, engine: str, layers: dict[str, Any]
) -> None:
    settings.CHANNEL_LAYERS, settings.DEBUG = layers, debug
    with database(ENGINE=engine):
        assert ids(checks.check_channel_layer()) == []


def test_another_alias_may_be_the_layer(settings: Settings) -> None:
    settings.CHANNEL_LAYERS = {"chat": {"BACKEND": PUBSUB}}
    assert ids(checks.check_channel_layer()) == ["W001"]
    settings.REALTIME = {"CHANNEL_LAYER": "chat"}
    assert ids(checks.check_channel_layer()) == []


URL = "redis://localhost:6379/0"


@pytest.mark.parametrize(
    ("layer", "version", "found"),
    [
        (core({"address": URL, "socket_timeout": 15}), "8.1.0", []),
        (core({"address": URL, "socket_timeout": None}), "8.1.0", []),
        (core(URL + "?socket_timeout=15"), "8.1.0", []),
        (core({"address": URL, "socket_timeout": 5}), "8.1.0", ["W002"]),
        (core({"address": URL}), "8.1.0", ["W002"]),
        (core(URL), "8.1.0", ["W002"]),
        (core(("localhost", 6379)), "8.1.0", ["W002"]),
        (core({"address": URL, "socket_timeout": 15}, URL), "8.1.0", ["W002"]),
        (core(), "8.1.0", ["W002"]),
        (core(URL), "7.4.0", []),
        (core(URL, capacity=100), "7.4.0", ["W003"]),
        (core(URL, capacity=101), "7.4.0", []),
        ({"BACKEND": CORE}, "7.4.0", ["W003"]),
        ({"BACKEND": CORE}, "8.0.0", ["W002", "W003"]),
        ({"BACKEND": PUBSUB, "CONFIG": {"hosts": [URL]}}, "8.1.0", []),
    ],
)
def test_a_core_layer_that_keeps_what_it_is_given(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    layer: dict[str, Any],
    version: str,
    found: list[str],
) -> None:
    settings.CHANNEL_LAYERS = {"default": layer}
    monkeypatch.setattr(redis, "__version__", version)
    assert ids(checks.check_channel_layer()) == found


@pytest.mark.parametrize("backend", [PUBSUB, CORE])
def test_a_redis_that_answers(settings: Settings, redis_url: str, backend: str) -> None:
    for host in (redis_url, {"address": redis_url}):
        settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": {"hosts": [host]}}}
        assert checks.check_redis() == []


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://:secret@127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("away", ["closed", "silent", "unreadable", "no list"])
def test_a_redis_that_does_not_answer(
    settings: Settings, redis_url: str, silent: str, away: str
) -> None:
    """Each of several is named, by its number, as its address may hold a password."""
    host = {"closed": "redis://:secret@127.0.0.1:1", "silent": silent, "unreadable": 7}.get(away)
    hosts = silent if away == "no list" else [redis_url, host]
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": PUBSUB, "CONFIG": {"hosts": hosts}}}
    begin = time.monotonic()
    [message] = checks.check_redis()
    assert time.monotonic() - begin < 2 * layer.ANSWER_SECONDS
    assert message.id == "realtime.E018"
    assert ("number 1" if away == "no list" else "number 2") in message.msg
    assert "secret" not in f"{message.msg}{message.hint}"


def test_a_layer_without_redis_is_not_asked(settings: Settings) -> None:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": MEMORY}}
    assert checks.check_redis() == []


# What serves the sockets

PLAIN_ASGI = ASGIHandler()
PAGES_ALONE = ProtocolTypeRouter({"http": PLAIN_ASGI})
BOTH = ProtocolTypeRouter({"http": PLAIN_ASGI, "websocket": PLAIN_ASGI})


async def wrapped(scope: Any, receive: Any, send: Any) -> None:
    """An application of somebody else's."""


@pytest.mark.parametrize(
    ("application", "found"),
    [
        ("project.asgi.application", []),
        (f"{__name__}.BOTH", []),
        (f"{__name__}.wrapped", []),
        (None, ["W015"]),
        ("", ["W015"]),
        (f"{__name__}.PLAIN_ASGI", ["W015"]),
        (f"{__name__}.PAGES_ALONE", ["W015"]),
        (f"{__name__}.ROOT", ["W015"]),
        (f"{__name__}.missing", ["E016"]),
        ("missing.asgi.application", ["E016"]),
        ("application", ["E016"]),
        (7, ["E016"]),
    ],
)
def test_the_asgi_application_serves_sockets(
    settings: Settings, application: Any, found: list[str]
) -> None:
    settings.ASGI_APPLICATION = application
    assert ids(checks.check_asgi()) == found


def test_a_site_without_an_asgi_application_is_told(settings: Settings) -> None:
    del settings.ASGI_APPLICATION
    assert ids(checks.check_asgi()) == ["W015"]


@pytest.mark.parametrize(
    ("owner", "apps", "debug", "found"),
    [
        ("daphne", ["daphne"], True, []),
        ("django.core", [], True, ["W016"]),
        ("django.contrib.staticfiles", [], True, ["W016"]),
        ("django.contrib.staticfiles", [], False, []),
        ("somebody.elses.server", [], True, []),
        ("django.contrib.staticfiles", ["daphne"], True, []),
    ],
)
def test_runserver_serves_sockets(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    owner: str,
    apps: list[str],
    debug: bool,
    found: list[str],
) -> None:
    others = [app for app in settings.INSTALLED_APPS if app != "daphne"]
    settings.INSTALLED_APPS, settings.DEBUG = [*apps, *others], debug
    monkeypatch.setattr(servers, "get_commands", lambda: {"runserver": owner})
    assert ids(checks.check_runserver()) == found


# The files of the package


def install(folder: Path, name: str, *files: str, says: str = "x = 1\n") -> None:
    """Install a distribution as pip does: its files, and a record of them."""
    lines = []
    for file in files:
        path = folder / "realtime" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(says)
        digest = urlsafe_b64encode(sha256(says.encode()).digest()).decode().rstrip("=")
        lines.append(f"realtime/{file},sha256={digest},{len(says)}")
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text("\n".join(lines) + "\n")


OURS, THEIRS = package.OURS, "realtime"


@pytest.mark.parametrize(
    ("order", "gone", "found"),
    [
        ([OURS], [], []),
        ([OURS, THEIRS], [], ["E017", "E019"]),
        ([THEIRS, OURS], [], ["E017"]),
        ([OURS, THEIRS], [THEIRS], ["E019"]),
        ([THEIRS, OURS], [THEIRS], ["E019"]),
        ([THEIRS], [], ["E017"]),
    ],
)
def test_another_distribution_in_the_folder_of_the_package(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    order: list[str],
    gone: list[str],
    found: list[str],
) -> None:
    """Whichever came second; and after one was uninstalled, with the files of both."""
    files = {OURS: ("__init__.py", "push.py"), THEIRS: ("__init__.py", "client.py")}
    for name in order:
        install(tmp_path, name, *files[name], says=f"name = {name!r}\n")
    for name in gone:
        for file in files[name]:
            (tmp_path / "realtime" / file).unlink()
        shutil.rmtree(tmp_path / f"{name}-1.0.dist-info")
    monkeypatch.setattr(package, "distributions", lambda: distributions(path=[str(tmp_path)]))
    monkeypatch.setattr(package, "__file__", str(tmp_path / "realtime" / "checks" / "package.py"))
    messages = checks.check_package()
    assert ids(messages) == found
    assert all("--force-reinstall" in (one.hint or "") for one in messages)


def test_the_package_here_is_whole() -> None:
    assert checks.check_package() == []


# Daphne


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["daphne", "django.contrib.staticfiles"], []),
        (["django.contrib.staticfiles", "daphne"], ["E003"]),
        (["django.contrib.staticfiles"], []),
        (["daphne"], []),
    ],
)
def test_the_order_of_daphne_and_static_files(
    settings: Settings, names: list[str], found: list[str]
) -> None:
    others = [app for app in settings.INSTALLED_APPS if app not in names and app != "daphne"]
    settings.INSTALLED_APPS = [*names, *others]
    assert ids(checks.check_daphne()) == found


@pytest.mark.parametrize(
    ("installed", "found"), [("4.2.2", []), ("4.10.0", []), ("4.2.1", ["E004"]), ("3.9", ["E004"])]
)
def test_the_version_of_daphne(
    monkeypatch: pytest.MonkeyPatch, installed: str, found: list[str]
) -> None:
    monkeypatch.setattr(checks, "version", lambda name: installed)
    assert ids(checks.check_daphne()) == found


def test_without_daphne_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise checks.PackageNotFoundError(name)

    monkeypatch.setattr(checks, "version", missing)
    assert ids(checks.check_daphne()) == []


# What others have mended


@pytest.mark.parametrize(
    ("name", "installed", "is_old"),
    [
        ("Django", "5.2.13", True),
        ("Django", "5.2.14", False),
        ("Django", "6.0.4", True),
        ("Django", "6.0.5", False),
        ("Django", "6.1", False),
        ("msgpack", "1.2.0", True),
        ("msgpack", "1.2.1", False),
        ("redis", "4.5.4", True),
        ("redis", "5.1", False),
        ("Twisted", "24.3.0", True),
        ("Twisted", "24.7.0", False),
    ],
)
def test_a_version_with_a_known_hole(
    monkeypatch: pytest.MonkeyPatch, name: str, installed: str, is_old: bool
) -> None:
    monkeypatch.setattr(checks, "version", lambda one: installed if one == name else "99")
    found = checks.check_versions()
    assert ids(found) == ["W020"] * is_old
    assert all(name in message.msg and "CVE-" in (message.hint or "") for message in found)


def test_a_package_that_is_not_there_has_no_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise checks.PackageNotFoundError(name)

    monkeypatch.setattr(checks, "version", missing)
    assert ids(checks.check_versions()) == []


def test_nothing_that_a_check_speaks_against_is_installed_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {one.name: one for one in map(Requirement, project["dependencies"])}
    for name, series, floor, _ in checks.FIXED_IN:
        first = ".".join(map(str, series or (0,)))
        last = ".".join(map(str, [*floor[:-1], floor[-1] - 1]))
        assert not {first, last} & set(wanted[name].specifier.filter([first, last])), name


# The database


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"CONN_MAX_AGE": 0}, ["W004"]),
        ({}, ["W004"]),
        ({"OPTIONS": {"pool": False}}, ["W004"]),
        ({"CONN_MAX_AGE": 60}, []),
        ({"CONN_MAX_AGE": None}, []),
        ({"OPTIONS": {"pool": True}}, ["W005"]),
        ({"OPTIONS": {"pool": {}}, "CONN_MAX_AGE": 0}, ["W004"]),
        ({"OPTIONS": {"pool": {"max_size": 10}}}, ["W005"]),
        ({"OPTIONS": {"pool": {"max_size": 11}}}, []),
        ({"OPTIONS": {"pool": {"min_size": 12}}}, []),
        ({"OPTIONS": {"pool": {"min_size": 2, "max_size": None}}}, ["W005"]),
    ],
)
def test_a_postgresql_that_is_kept_open(options: dict[str, Any], found: list[str]) -> None:
    with database(ENGINE=POSTGRES, **options):
        assert ids(checks.check_database()) == found


@pytest.mark.parametrize(
    ("engine", "age", "found"),
    [
        (POSTGRES, 0, []),
        (POSTGRES, 60, ["W018"]),
        (POSTGRES, None, ["W018"]),
        (SQLITE, 60, []),
    ],
)
@pytest.mark.parametrize("alias", ["default", "elsewhere"])
def test_connections_are_not_kept_by_threads(
    alias: str, engine: str, age: int | None, found: list[str]
) -> None:
    """Of no database of the site, as its views leak them."""
    with database(alias, ENGINE=engine, CONN_MAX_AGE=age):
        assert ids(checks.check_connections()) == found


def test_no_hint_recommends_what_another_check_warns_of() -> None:
    with database(ENGINE=POSTGRES, CONN_MAX_AGE=0):
        [message] = checks.check_database()
    assert "CONN_MAX_AGE" not in (message.hint or "")


@pytest.mark.servers
@pytest.mark.parametrize(("size", "found"), [(12, []), (400, ["W019"])])
def test_a_pool_within_what_postgresql_takes(
    sites: Sites, django_db_blocker: DjangoDbBlocker, size: int, found: list[str]
) -> None:
    options = dj_database_url.parse(sites.database_url("postgres"))
    pool = {"pool": {"max_size": size, "min_size": 1}}
    with database(**{**options, "OPTIONS": pool}), django_db_blocker.unblock():
        messages = checks.check_max_connections()
    assert ids(messages) == found
    assert all("how many there are is not known" in (one.hint or "") for one in messages)


def test_a_postgresql_that_is_away_is_not_asked_for_its_limit(
    django_db_blocker: DjangoDbBlocker,
) -> None:
    """A pool would wait for it for 30 seconds."""
    away = {"HOST": "127.0.0.1", "PORT": "1", "OPTIONS": {"pool": True}}
    with database(ENGINE=POSTGRES, **away), django_db_blocker.unblock():
        assert checks.check_max_connections() == []


@pytest.mark.parametrize(("threads", "found"), [(0, []), (1, []), (7, ["W005"])])
def test_the_pool_fits_the_threads(settings: Settings, threads: int, found: list[str]) -> None:
    settings.REALTIME = {"DB_THREADS": threads}
    with database(ENGINE=POSTGRES, OPTIONS={"pool": {"max_size": 12}}):
        assert ids(checks.check_database()) == found


@pytest.mark.parametrize(("topics", "size", "found"), [(0, 11, []), (1, 18, ["W005"]), (1, 19, [])])
def test_the_pool_fits_the_threads_for_topics_if_there_are_any(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    topics: int,
    size: int,
    found: list[str],
) -> None:
    """Permissions and commands of topics have threads of their own."""
    settings.REALTIME = {}
    monkeypatch.setattr(
        "realtime.checks.database.registry", SimpleNamespace(site_classes=[1] * topics)
    )
    with database(ENGINE=POSTGRES, OPTIONS={"pool": {"max_size": size}}):
        assert ids(checks.check_database()) == found


@pytest.mark.parametrize(("size", "found"), [(14, ["W005"]), (15, [])])
def test_the_pool_fits_the_threads_for_hooks_if_there_are_any(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, size: int, found: list[str]
) -> None:
    settings.REALTIME = {"HOOKS": "shop.hooks.ChatHooks"}
    monkeypatch.setattr("realtime.checks.database.registry", SimpleNamespace(site_classes=[]))
    with database(ENGINE=POSTGRES, OPTIONS={"pool": {"max_size": size}}):
        assert ids(checks.check_database()) == found


class Elsewhere:
    def db_for_write(self, model: type, **hints: object) -> str | None:
        return "elsewhere" if model.__name__ == "Message" else None


class AllElsewhere:
    def db_for_write(self, model: type, **hints: object) -> str | None:
        return "elsewhere"


@pytest.mark.parametrize(("router", "found"), [("Elsewhere", ["E005"]), ("AllElsewhere", ["W004"])])
def test_the_models_are_in_one_database(settings: Settings, router: str, found: list[str]) -> None:
    settings.DATABASE_ROUTERS = [f"{__name__}.{router}"]
    with database("elsewhere", ENGINE=POSTGRES):
        assert ids(checks.check_database()) == found


@pytest.mark.parametrize(
    ("vendor", "found"), [("sqlite", []), ("mysql", ["W007"]), ("oracle", ["W007"])]
)
def test_a_database_that_is_not_known(
    monkeypatch: pytest.MonkeyPatch, vendor: str, found: list[str]
) -> None:
    monkeypatch.setattr(type(connections["default"]), "vendor", vendor)
    assert ids(checks.check_database()) == found


IMMEDIATE = {"transaction_mode": "IMMEDIATE"}


@pytest.mark.parametrize(
    ("engine", "options", "found"),
    [
        (SQLITE, {}, ["W006"]),
        (SQLITE, IMMEDIATE, ["W006"]),
        (SQLITE, {"init_command": "PRAGMA journal_mode=WAL"}, ["W006"]),
        (SQLITE, {**IMMEDIATE, "init_command": "PRAGMA journal_mode=DELETE"}, ["W006"]),
        (SQLITE, {**IMMEDIATE, "init_command": "PRAGMA journal_mode=WAL"}, []),
        (SQLITE, {**IMMEDIATE, "init_command": "pragma journal_mode = wal;"}, []),
        (POSTGRES, {}, []),
    ],
)
def test_a_sqlite_that_does_not_lock_itself_out(
    engine: str, options: dict[str, Any], found: list[str]
) -> None:
    with database(ENGINE=engine, OPTIONS=options):
        assert ids(checks.check_sqlite()) == found


# Hosts


@pytest.mark.parametrize(
    ("hosts", "debug", "found"),
    [(["*"], False, ["W008"]), (["*"], True, []), (["a.example"], False, []), ([], False, [])],
)
def test_hosts_are_named(
    settings: Settings, hosts: list[str], debug: bool, found: list[str]
) -> None:
    settings.ALLOWED_HOSTS, settings.DEBUG = hosts, debug
    assert ids(checks.check_allowed_hosts()) == found


# Users


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (models.BigAutoField(primary_key=True), []),
        (models.UUIDField(primary_key=True), []),
        (models.CharField(max_length=150, primary_key=True), ["W053"]),
        (models.CharField(max_length=151, primary_key=True), ["W052", "W053"]),
        (models.TextField(primary_key=True), ["W052", "W053"]),
        (models.SlugField(max_length=50, primary_key=True), []),
        (models.SlugField(max_length=200, primary_key=True), ["W052"]),
        (models.EmailField(max_length=254, primary_key=True), ["W052"]),
        (
            models.CharField(
                max_length=9, primary_key=True, validators=[RegexValidator(r"^[a-z|]+$")]
            ),
            [],
        ),
    ],
)
def test_keys_of_users_that_would_be_refused(
    monkeypatch: pytest.MonkeyPatch, field: Any, found: list[str]
) -> None:
    monkeypatch.setattr(checks, "_key_of_users", lambda: field)
    assert ids(checks.check_user_keys()) == found


def test_the_key_of_users_is_that_of_the_table_they_inherit_from() -> None:
    assert type(checks._key_of_users()).__name__ in ("AutoField", "BigAutoField")


# Health pages


@pytest.mark.parametrize(
    ("redirect", "exempt", "middleware", "found"),
    [
        (False, [], [], []),
        (True, [], [], ["W050"]),
        (True, [r"^realtime/(live|ready)/?$"], [], []),
        (True, [r"^realtime/live/$"], [], ["W050"]),
        (True, [], [checks.HEALTH, "other.Middleware"], []),
        (True, [], ["other.Middleware", checks.HEALTH], ["W051"]),
    ],
)
def test_a_load_balancer_is_not_redirected(
    settings: Settings, redirect: bool, exempt: list[str], middleware: list[str], found: list[str]
) -> None:
    settings.SECURE_SSL_REDIRECT, settings.SECURE_REDIRECT_EXEMPT = redirect, exempt
    settings.MIDDLEWARE = middleware
    assert ids(checks.check_health()) == found


# Names


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("", []),
        ("first_name", []),
        ("get_full_name", []),
        ("tests.store.accounts.test_display.called", []),
        ("nickname", ["E070"]),
        ("tests.missing.name", ["E070"]),
        ("tests.store.accounts.test_display.KEY", ["E070"]),
    ],
)
def test_a_name_to_show_exists(settings: Settings, name: str, found: list[str]) -> None:
    settings.REALTIME = {"DISPLAY_NAME": name}
    assert ids(checks.check_names()) == found


@pytest.mark.parametrize(("name", "found"), [("", ["W070"]), ("get_username", [])])
def test_usernames_that_are_addresses_want_a_name_to_show(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, found: list[str]
) -> None:
    settings.REALTIME = {"DISPLAY_NAME": name}
    monkeypatch.setattr(User, "USERNAME_FIELD", "email")
    assert ids(checks.check_names()) == found


# All together


@pytest.mark.parametrize("deploy", [True, False])
def test_the_checks_are_registered(settings: Settings, deploy: bool) -> None:
    settings.REALTIME = {"NO": 1}
    settings.CHANNEL_LAYERS = {"other": {}}
    settings.ALLOWED_HOSTS = ["*"]
    with database(ENGINE=SQLITE), registry.isolated():  # other tests declare topics
        found = {*ids(run_checks(tags=["realtime"], include_deployment_checks=deploy))}
    assert found == {"E002", "W001"} | ({"W006", "W008"} if deploy else set())


def manage(folder: Path, *arguments: str) -> str:
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=folder,
        env={**env, "PYTHONPATH": str(ROOT), "SECRET_KEY": "0123456789" * 6},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a fresh project with these lines at the end of its settings."""
    call_command("startproject", "fresh", str(tmp_path))

    def make(more: str) -> Path:
        apps = 'INSTALLED_APPS = ["daphne", *INSTALLED_APPS, "channels", "realtime"]'
        apps += '\nASGI_APPLICATION = "fresh.asgi.application"'
        asgi = tmp_path / "fresh" / "asgi.py"
        asgi.write_text(asgi.read_text().replace("django.core.asgi", "realtime.asgi"))
        with (tmp_path / "fresh" / "settings.py").open("a") as file:
            file.write(f"\n{apps}\n{more}\n")
        return tmp_path

    return make


def test_a_fresh_project_is_clean(project: Callable[[str], Path]) -> None:
    assert manage(project(""), "check") == "System check identified no issues (0 silenced).\n"


def test_a_fresh_project_with_a_mistake_is_told(project: Callable[[str], Path]) -> None:
    assert "(realtime.E002)" in manage(project('REALTIME = {"GUEST": True}'), "check")


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("ASGI_APPLICATION = None", "W015"),
        ('INSTALLED_APPS.remove("daphne")', "W016"),
        ('INSTALLED_APPS.remove("django.contrib.sessions")', "E020"),
    ],
)
def test_a_step_that_was_left_out_is_told(
    project: Callable[[str], Path], mistake: str, told: str
) -> None:
    assert f"(realtime.{told})" in manage(project(mistake), "check")


def test_djangos_own_asgi_file_is_told(project: Callable[[str], Path]) -> None:
    folder = project("")
    asgi = folder / "fresh" / "asgi.py"
    asgi.write_text(asgi.read_text().replace("realtime.asgi", "django.core.asgi"))
    assert "(realtime.W015)" in manage(folder, "check")


def test_the_demo_is_clean() -> None:
    assert manage(ROOT, "check") == "System check identified no issues (0 silenced).\n"
    assert "realtime." not in manage(ROOT, "check", "--deploy")


def test_every_check_stands_in_the_documents() -> None:
    sources = [*(ROOT / "realtime" / "checks").glob("*.py"), ROOT / "realtime/auth/checks.py"]
    source = "".join(path.read_text() for path in sources)
    page = (ROOT / "docs" / "checks.md").read_text()
    told = re.findall(r"^\| `(realtime\.[EW]\d{3})`", page, re.MULTILINE)
    assert told == sorted(set(re.findall(r'"(realtime\.[EW]\d{3})"', source)))
