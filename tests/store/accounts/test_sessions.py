"""Many sessions at once are judged as Django judges each."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib import auth
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from realtime.store.accounts.sessions import are_rows, user_of, users_of

pytestmark = pytest.mark.django_db


class OnlyAda(ModelBackend):
    """A backend with an opinion of its own."""

    def get_user(self, user_id: Any) -> Any:
        user = super().get_user(user_id)
        return user if user is not None and user.username == "ada" else None


def log_in(name: str, backend: str = "django.contrib.auth.backends.ModelBackend") -> str:
    """The key of a new session of a new user."""
    user = get_user_model().objects.create_user(name, password="old secret")
    client = Client()
    client.force_login(user, backend)
    return client.session.session_key or ""


def change(key: str, **fields: Any) -> None:
    """Change what a session says; None removes it."""
    session = DatabaseStore(key)
    for name, value in fields.items():
        if value is None:
            del session[name]
        else:
            session[name] = value
    session.save()


def as_django_says(keys: list[str]) -> dict[str, str]:
    """Who Django finds, one by one."""
    found = {}
    for key in keys:
        user = auth.get_user(SimpleNamespace(session=DatabaseStore(key)))  # type: ignore[arg-type]
        if user.is_authenticated:
            found[key] = user.get_username()
    return found


def names(keys: list[str]) -> dict[str, str]:
    """Who we find, all at once where that can be."""
    found = users_of(keys, [])[0] if are_rows() else {key: user_of(key) for key in keys}
    return {key: user.get_username() for key, user in found.items() if user is not None}


def test_many_sessions_cost_two_queries() -> None:
    """One for the sessions, one for their users."""
    keys = [log_in(f"user-{number}") for number in range(20)]
    with CaptureQueriesContext(connection) as queries:
        found = names(keys)
    assert found == {key: f"user-{number}" for number, key in enumerate(keys)}
    assert len(queries) == 2


def test_every_kind_of_session_is_judged_as_django_does(settings: Settings) -> None:
    """The good among the ended, the forged and the broken."""
    other = f"{__name__}.OnlyAda"
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, other]
    users = get_user_model().objects
    kinds = [
        "good",
        "inactive",
        "deleted",
        "changed",
        "expired",
        "unhashed",
        "foreign",
        "anonymous",
    ]
    keys = {kind: log_in(kind) for kind in kinds}
    keys |= {"ada": log_in("ada", other), "bob": log_in("bob", other)}
    users.filter(username="inactive").update(is_active=False)
    users.filter(username="deleted").delete()
    users.filter(username="changed").update(password="new")
    Session.objects.filter(pk=keys["expired"]).update(
        expire_date=timezone.now() - timedelta(seconds=1)
    )
    change(keys["unhashed"], **{auth.HASH_SESSION_KEY: None})
    change(keys["foreign"], **{auth.BACKEND_SESSION_KEY: "no.such.Backend"})
    change(keys["anonymous"], **{auth.SESSION_KEY: None})
    asked = [*keys.values(), "nobodyhasthiskey", "", "short"]
    rows = list(Session.objects.all())
    expected = as_django_says(asked)
    Session.objects.bulk_create(rows, ignore_conflicts=True)  # it removes those it does not like
    assert names(asked) == expected
    assert set(expected.values()) == {"good", "ada"}


@pytest.mark.parametrize("engine", ["db", "cached_db"])
def test_a_session_signed_with_an_old_secret_goes_on(settings: Settings, engine: str) -> None:
    """Django accepts it by SECRET_KEY_FALLBACKS, and gives it a new key: but we have no cookie."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SECRET_KEY, new = "old" * 20, "new" * 20
    keys = [log_in("ada"), log_in("bob")]
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = new, ["old" * 20]
    for _ in range(2):
        assert set(names(keys).values()) == {"ada", "bob"}
    assert set(as_django_says(keys).values()) == {"ada", "bob"}


@pytest.mark.parametrize("key", ["a\x00b" * 5, "é" * 32, "x" * 5000, "'; --" * 5])
def test_a_key_that_cannot_be_takes_nobody_along(key: str) -> None:
    """One handshake with a bad cookie must not fail those it shares a query with."""
    good = log_in("ada")
    assert names([key, good]) == {good: "ada"}


@pytest.mark.parametrize("engine", ["cached_db", "signed_cookies", "file"])
def test_another_session_engine_is_asked_one_by_one(
    settings: Settings, tmp_path: Path, engine: str
) -> None:
    """Only the database's own store can be read at once; keys of others may be long."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    keys = [log_in("ada"), log_in("bob")]
    assert set(names(keys).values()) == {"ada", "bob"}


class SessionStore(DatabaseStore):
    """A site's own: some sessions are revoked."""

    def _get_session_from_db(self) -> Any:
        return None


def test_a_store_that_only_looks_like_djangos_is_asked_itself(settings: Settings) -> None:
    """Whatever of it a site has changed."""
    keys = [log_in("ada")]
    settings.SESSION_ENGINE = __name__
    assert names(keys) == {}


class Failing(ModelBackend):
    """A backend that cannot find its users."""

    def get_user(self, user_id: Any) -> Any:
        raise ConnectionError("the directory is away")


def test_one_that_fails_takes_nobody_along(settings: Settings) -> None:
    """A backend that raises, and a key that no user can have."""
    failing = f"{__name__}.Failing"
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, failing]
    good, odd, away = log_in("good"), log_in("odd"), log_in("away", failing)
    change(odd, **{auth.SESSION_KEY: "not a number"})
    found = users_of([good, odd, away], [])[0]
    assert found[good].get_username() == "good"
    assert isinstance(found[odd], ValidationError)
    assert isinstance(found[away], ConnectionError)
