"""Names that guests and rooms may take, on both databases."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from pytest_django import Settings

from realtime.models import Connection, Look, Room
from realtime.policy import Policy
from realtime.store import presence
from realtime.store.accounts.identity import Identity
from realtime.store.moderation import names
from realtime.store.moderation.actions import find_user
from realtime.store.moderation.names import Named, problem
from realtime.store.presence import LiveNode
from realtime.store.rooms import management
from realtime.wire.errors import CommandError
from realtime.wire.looks import look

ME = Identity("guest:1", "Guest 123456")


@pytest.fixture(autouse=True)
def guests(settings: Settings, database: str) -> None:
    settings.REALTIME = {"GUESTS": True, "CREATE_ROOMS": "users"}


@pytest.fixture
def alice() -> Any:
    return get_user_model().objects.create_user("alice", email="alice@example.com")


class Strict(Policy):
    """Guests have names of one letter."""

    def may_use_name(self, identity: Identity, name: str) -> bool:
        return len(name) == 1


@pytest.mark.parametrize("name", ["alice", "Alice", "\u0430lice", "al.ice", "alice (x)"])
def test_a_users_name_is_not_for_guests(alice: Any, name: str) -> None:
    """Nor one that looks like it."""
    assert "taken" in problem(Named(ME, name))


@pytest.mark.parametrize("name", ["Bob", "Alice Smith", "alicia", "\u4e2d\u6587"])
def test_another_name_is_free(alice: Any, name: str) -> None:
    assert problem(Named(ME, name)) == ""


@pytest.mark.parametrize("name", ["admin", "Guest 123457", "guest-654321", "..."])
def test_a_reserved_given_or_empty_name_is_refused(name: str) -> None:
    assert problem(Named(ME, name))


def test_a_renamed_user_frees_the_old_name_and_takes_the_new_one(alice: Any) -> None:
    alice.username = "carol"
    alice.save()
    assert problem(Named(ME, "Alice")) == ""
    assert problem(Named(ME, "Carol"))


def test_a_deleted_user_frees_the_name(alice: Any) -> None:
    alice.delete()
    assert problem(Named(ME, "Alice")) == ""


def test_a_user_without_a_signal_is_found_by_the_letters_and_then_filled_in() -> None:
    """As after bulk_create; the background fills what is missing, and comes to an end."""
    model = get_user_model()
    model.objects.bulk_create([model(username=f"dora{n}") for n in range(1100)])
    assert problem(Named(ME, "dora3"))
    assert problem(Named(ME, "DORA3")) == ""
    at: tuple[Any, int] | None = (None, 0)
    rounds = 0
    while at is not None:
        at = names.fill(*at)
        rounds += 1
    assert rounds == 4
    assert problem(Named(ME, "DORA3"))


def test_forgotten_names_are_filled_again(alice: Any) -> None:
    get_user_model().objects.filter(pk=alice.pk).update(username="erin")
    names.delete_user_looks()
    names.fill()
    assert problem(Named(ME, "Erin"))
    assert problem(Named(ME, "Alice")) == ""


def test_without_guests_nobodys_name_is_noted(settings: Settings) -> None:
    settings.REALTIME = {"GUESTS": False}
    get_user_model().objects.create_user("frank")
    assert not Look.objects.exclude(user=None).exists()


def test_the_name_of_another_guest_who_is_here_is_taken() -> None:
    """One's own second tab is no other guest."""
    node = LiveNode("n", "host", 1, 30)
    here = Connection(
        id="n.1", node_id="n", user_key="guest:2", username="Zo\u00eb", look=look("Zo\u00eb")
    )
    presence.rebuild(node, [here], [])
    assert problem(Named(ME, "zoe"))
    assert problem(Named(Identity("guest:2", "Zo\u00eb"), "zoe")) == ""
    presence.release(node)
    assert problem(Named(ME, "zoe")) == ""


def test_the_policy_may_refuse_a_name(settings: Settings) -> None:
    settings.REALTIME = {"GUESTS": True, "POLICY": f"{__name__}.Strict"}
    assert problem(Named(ME, "Bob"))
    assert problem(Named(ME, "B")) == ""


def test_reserved_names_are_the_sites(settings: Settings) -> None:
    settings.REALTIME = {"GUESTS": True, "RESERVED_NAMES": ["ci"]}
    assert problem(Named(ME, "C.I."))
    assert problem(Named(ME, "admin")) == ""


def test_a_user_is_found_by_the_name_that_is_shown(alice: Any, settings: Settings) -> None:
    """And by the username; two of one name are found by neither."""
    settings.REALTIME = {"DISPLAY_NAME": "first_name"}
    alice.first_name = "Ally"
    alice.save()
    assert find_user(username="Ally") == find_user(username="alice") == alice
    get_user_model().objects.create_user("bob", first_name="Ally")
    with pytest.raises(CommandError):
        find_user(username="Ally")


@pytest.mark.parametrize("title", ["G\u0435neral", "general\u200b", "GENERAL", "  general "])
def test_a_public_room_does_not_look_like_another(alice: Any, title: str) -> None:
    Room.objects.create(slug="room-1", title="General")
    with pytest.raises(CommandError, match="looks like it"):
        management.create(Identity.of(alice), title, kind="public")
    mine = management.create(Identity.of(alice), "Tea", kind="public")
    with pytest.raises(CommandError, match="looks like it"):
        management.configure(mine, Identity.of(alice), title=title)


def test_a_private_room_is_asked_about_by_nobody(alice: Any) -> None:
    """Its title is no reason to refuse one, and may be that of a public room."""
    Room.objects.create(slug="secret", title="Plans", kind="private")
    management.create(Identity.of(alice), "Plans", kind="public")
    management.create(Identity.of(alice), "Plans", kind="private")


def test_titles_and_slugs_are_clean(alice: Any) -> None:
    room = management.create(Identity.of(alice), "\u202eTea\u200b \u3164room", kind="public")
    assert (room.title, room.slug) == ("Tea room", "tea-room")
    for nothing in ("\u3164", "\u2800", "\u200b", "\u0301"):
        with pytest.raises(CommandError, match="needs a letter"):
            management.create(Identity.of(alice), nothing, kind="public")
        with pytest.raises(CommandError, match="needs a letter"):
            management.create(Identity.of(alice), "Fine", slug=nothing + "-", kind="public")
