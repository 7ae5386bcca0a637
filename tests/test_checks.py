"""Each system check speaks when it should, and is silent when not."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.core.checks import CheckMessage, run_checks
from django.core.management import call_command
from django.core.validators import RegexValidator
from django.db import connections, models
from packaging.requirements import Requirement
from pytest_django import Settings

from realtime import checks

ROOT = Path(__file__).parent.parent
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
CORE = "channels_redis.core.RedisChannelLayer"
MEMORY = "channels.layers.InMemoryChannelLayer"
LONG_TIMEOUT = "redis://localhost:6379/0?socket_timeout=15"
SQLITE, POSTGRES = "django.db.backends.sqlite3", "django.db.backends.postgresql"


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
        ({"GUEST": 1, "GUESTS": 2, "DB_THREADS": None}, ["E002", "E007", "E007"]),
    ],
    ids=repr,
)
def test_the_settings(settings: Settings, given: object, found: list[str]) -> None:
    settings.REALTIME = given
    assert ids(checks.check_settings()) == found


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
def test_broken_settings_break_no_other_check(settings: Settings, given: object) -> None:
    settings.REALTIME = given
    with database(ENGINE=POSTGRES, CONN_MAX_AGE=0, OPTIONS={"pool": True}):
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
    for name, series, floor, _ in checks.MENDED:
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


@pytest.mark.parametrize(("threads", "found"), [(0, []), (1, []), (7, ["W005"])])
def test_the_pool_fits_the_threads(settings: Settings, threads: int, found: list[str]) -> None:
    settings.REALTIME = {"DB_THREADS": threads}
    with database(ENGINE=POSTGRES, OPTIONS={"pool": {"max_size": 12}}):
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
        ("tests.store.test_display.called", []),
        ("nickname", ["E070"]),
        ("tests.missing.name", ["E070"]),
        ("tests.store.test_display.KEY", ["E070"]),
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
    with database(ENGINE=SQLITE):
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
        with (tmp_path / "fresh" / "settings.py").open("a") as file:
            file.write(f"\n{apps}\n{more}\n")
        return tmp_path

    return make


def test_a_fresh_project_is_clean(project: Callable[[str], Path]) -> None:
    assert manage(project(""), "check") == "System check identified no issues (0 silenced).\n"


def test_a_fresh_project_with_a_mistake_is_told(project: Callable[[str], Path]) -> None:
    assert "(realtime.E002)" in manage(project('REALTIME = {"GUEST": True}'), "check")


def test_the_demo_is_clean() -> None:
    assert manage(ROOT, "check") == "System check identified no issues (0 silenced).\n"
    assert "realtime." not in manage(ROOT, "check", "--deploy")


def test_every_check_stands_in_the_documents() -> None:
    sources = [ROOT / "realtime" / "checks.py", ROOT / "realtime" / "auth" / "checks.py"]
    source = "".join(path.read_text() for path in sources)
    page = (ROOT / "docs" / "checks.md").read_text()
    told = re.findall(r"^\| `(realtime\.[EW]\d{3})`", page, re.MULTILINE)
    assert told == sorted(set(re.findall(r'id="(realtime\.[EW]\d{3})"', source)))
