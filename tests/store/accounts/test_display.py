"""The name by which others know a user: no e-mail address unless the site wants that."""

from types import SimpleNamespace
from typing import Any

import pytest
from pytest_django import Settings

from realtime.models import Message
from realtime.store.accounts.display import display_name, name_of_message
from realtime.store.messages.history import state_of


def user(name: str, pk: Any = 7, **more: Any) -> Any:
    return SimpleNamespace(pk=pk, get_username=lambda: name, **more)


def called(user: Any) -> str:
    return f"Member {user.pk}"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("alice", "alice"),
        ("alice@example.com", "User 7"),
        ("Alice.B+tag@EXAMPLE.com", "User 7"),
        ("root@localhost", "User 7"),
        ("\u202ealice\u200b", "alice"),
        ("a\nb", "a b"),
        ("\u3164", "User 7"),
    ],
)
def test_a_username_is_shown_unless_it_is_an_address(name: str, shown: str) -> None:
    assert display_name(user(name)) == shown


def test_a_long_key_is_told_by_a_digest() -> None:
    """Of which others learn nothing."""
    shown = display_name(user("a@b.c", pk="0f3a5b7c-1111-2222-3333-444455556666"))
    assert shown.startswith("User ")
    assert len(shown) == len("User ") + 8


@pytest.mark.parametrize(
    ("setting", "shown"),
    [
        ("nickname", "Ally"),
        ("get_full_name", "Alice B"),
        ("get_username", "alice@example.com"),
        ("tests.store.accounts.test_display.called", "Member 7"),
        ("empty", "User 7"),
        ("tricky", "admin x"),
    ],
)
def test_the_site_says_how_users_are_called(settings: Settings, setting: str, shown: str) -> None:
    """An attribute, a method or a function; what gives nothing is as if it were not set."""
    settings.REALTIME = {"DISPLAY_NAME": setting}
    given = {"nickname": "Ally", "get_full_name": lambda: "Alice B", "empty": None}
    assert display_name(user("alice@example.com", tricky="\u202eadmin\n x", **given)) == shown


def test_old_messages_do_not_show_addresses(settings: Settings) -> None:
    """Also those stored while addresses were shown; a guest's own text is not one."""
    assert name_of_message("7", "alice@example.com") == "User 7"
    assert name_of_message("7", "alice") == "alice"
    assert name_of_message("guest:1", "a@b") == "a@b"
    message = Message(sender="7", username="alice@example.com", nonce="n", seq=1, changed_seq=1)
    assert state_of(message).username == "User 7"
    settings.REALTIME = {"DISPLAY_NAME": "get_username"}
    assert state_of(message).username == "alice@example.com"
