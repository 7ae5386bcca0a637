"""Whether those who are connected may still be, for many at once."""

import time
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from realtime.store.accounts import tokens
from realtime.store.accounts.account_status import account_statuses, is_known
from realtime.store.accounts.identity import Authentication, Credential, Identity, digest_of
from realtime.store.accounts.users import is_password_of, password_of, users_by


def make(name: str) -> User:
    return get_user_model().objects.create_user(name, password="old secret")


def of_session(key: str) -> Credential:
    return Credential(session=key, session_digest=digest_of(key))


def by_session(name: str) -> Authentication:
    user, client = make(name), Client()
    client.force_login(user)
    return Authentication(Identity.of(user), of_session(client.session.session_key or ""))


def by_token(name: str, **proof: Any) -> Authentication:
    return Authentication(Identity.of(make(name)), Credential(**proof))


def ended(**asked: Authentication) -> list[str]:
    """Who may not go on."""
    return [name for name, standing in account_statuses(asked).items() if standing is None]


def test_many_cost_one_query_of_a_kind() -> None:
    """Sessions, users, revoked ids, groups and permissions, of whatever proof."""
    asked = {f"s{number}": by_session(f"s{number}") for number in range(10)}
    asked |= {f"t{number}": by_token(f"t{number}", token_id=f"t{number}") for number in range(10)}
    with CaptureQueriesContext(connection) as queries:
        found = account_statuses(asked)
    assert {name: one and one.identity.username for name, one in found.items()} == {
        name: name for name in asked
    }
    assert len(queries) == 5


def test_whatever_ended_is_found() -> None:
    """And nobody else's."""
    asked = {
        "good": by_session("good"),
        "gone": by_session("gone"),
        "expired": by_session("expired"),
        "inactive": by_session("inactive"),
        "changed": by_session("changed"),
        "token": by_token("token", token_id="a", expires_at=time.time() + 60),
        "ended": by_token("ended", expires_at=time.time() - 1),
        "revoked": by_token("revoked", token_id="revoked"),
        "idle": by_token("idle"),
        "deleted": by_token("deleted"),
    }
    Session.objects.get(pk=asked["gone"].credential.session).delete()
    expired = Session.objects.filter(pk=asked["expired"].credential.session)
    expired.update(expire_date=timezone.now())
    users = get_user_model().objects
    users.filter(username__in=["inactive", "idle"]).update(is_active=False)
    users.filter(username="changed").update(password="new")
    users.filter(username="deleted").delete()
    tokens.revoke("revoked", time.time() + 60)
    assert ended(**asked) == [name for name in asked if name not in ("good", "token")]


@pytest.mark.parametrize("engine", ["cached_db", "file"])
def test_sessions_that_are_no_rows_are_asked_one_by_one(
    settings: Settings, engine: str, tmp_path: Any
) -> None:
    """Tokens beside them are still judged together."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    asked = {"good": by_session("good"), "changed": by_session("changed"), "t": by_token("t")}
    get_user_model().objects.filter(username="changed").update(password="new")
    assert ended(**asked) == ["changed"]


def test_who_cannot_be_judged_is_left_out(settings: Settings) -> None:
    """A session store that is away ends nobody."""
    settings.SESSION_ENGINE = "tests.store.accounts.broken_sessions"
    asked = {"session": Authentication(Identity.of(make("ada")), of_session("any" * 10))}
    assert account_statuses(asked) == {}


def test_what_rights_may_rest_on_is_compared() -> None:
    """A user's own fields, groups and permissions; not when it was last seen."""
    one = by_token("ada")
    ada = one.identity.user

    def facts() -> Any:
        standing = account_statuses({"ada": one})["ada"]
        assert standing is not None
        return standing.facts

    before = facts()
    get_user_model().objects.filter(pk=ada.pk).update(last_login=timezone.now())
    assert facts() == before
    for change in (
        lambda: ada.groups.add(Group.objects.create(name="staff")),
        lambda: get_user_model().objects.filter(pk=ada.pk).update(is_staff=True),
        lambda: get_user_model().objects.filter(pk=ada.pk).update(first_name="Ada"),
        lambda: ada.groups.clear(),
    ):
        change()
        assert facts() != before
        before = facts()


def test_only_what_the_database_knows_is_judged() -> None:
    """Not guests, and not users that other middleware has made up."""
    ada = make("ada")
    assert is_known(Identity.of(ada))
    assert not is_known(Identity("guest:1", "Ada"))
    assert not is_known(Identity.of(User(pk=7, username="from a directory")))
    assert not is_known(Identity("7", "x", object()))


def test_a_password_is_known_by_a_digest(settings: Settings) -> None:
    """It changes with the password, and outlives a secret key that is replaced."""
    ada = make("ada")
    told = password_of(ada)
    assert is_password_of(ada, told)
    assert is_password_of(ada, "")
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "new" * 20
    assert is_password_of(ada, told)
    ada.set_password("new")
    assert not is_password_of(ada, told)


def test_users_are_found_by_what_a_token_says_of_them() -> None:
    """What cannot be a value takes nobody along; two of the same are nobody."""
    ada, bob = make("ada"), make("bob")
    for user in (ada, bob):
        get_user_model().objects.filter(pk=user.pk).update(email="both@example.com")
    asked = [
        ("pk", str(ada.pk)),
        ("username", "bob"),
        ("username", "BOB"),
        ("username", "b\0b"),
        ("username", "x" * 5000),
        ("pk", "nobody"),
        ("pk", "9" * 50),
        ("email", "both@example.com"),
    ]
    assert users_by(asked) == {("pk", str(ada.pk)): ada, ("username", "bob"): bob}


def test_a_token_is_used_once_and_revoked_for_as_long_as_it_lives() -> None:
    """Whatever time it names."""
    assert tokens.use_once("a", time.time() + 30)
    assert not tokens.use_once("a", time.time() + 30)
    tokens.revoke("b", 1e300)
    tokens.revoke("b", time.time() + 30)
    assert tokens.revoked(["a", "b", "c", "d\0", "e" * 300]) == {"a": True, "b": True}


def test_a_digest_does_not_tell_the_session() -> None:
    """It goes through the channel layer."""
    proof = of_session("0123456789abcdef")
    assert proof.session_digest == digest_of("0123456789abcdef")
    assert "0123456789abcdef" not in f"{proof}{proof.session_digest}"
