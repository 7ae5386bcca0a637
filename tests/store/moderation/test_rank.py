"""A ban or mute has the rank of who gave it."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission

from realtime import moderation
from realtime.models import Membership, Room, Sanction
from realtime.store.accounts.identity import Identity
from realtime.store.moderation.actions import rank_of
from realtime.wire.errors import CommandError

Rank = Sanction.Rank
ADA = "guest:0123456789abcdef"


def user(name: str, room: Room | None = None, role: str = "member", *permissions: str) -> Any:
    made = get_user_model().objects.create_user(name, is_staff=bool(permissions))
    made.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    if room is not None:
        Membership.objects.create(room=room, user=made, role=role)
    return made


def test_the_rank_follows_from_the_place_and_the_permissions(room: Room) -> None:
    """What neither explains is done by the site's own code."""
    found = {
        "moderator": user("a", room, "moderator"),
        "owner": user("b", room, "owner"),
        "staff who moderate": user("c", room, "member", "moderate_room"),
        "staff of the admin": user("d", room, "moderator", "add_sanction"),
        "member": user("e", room),
    }
    ranks = {name: rank_of(Identity.of(one), room) for name, one in found.items()}
    assert list(ranks.values()) == [Rank.MODERATOR, Rank.OWNER, Rank.SITE, Rank.SITE, Rank.SITE]
    assert rank_of(None, room) == rank_of(Identity.of(found["owner"]), None) == Rank.SITE


@pytest.mark.parametrize(("given", "acts", "may"), [(1, 1, True), (2, 1, False), (3, 2, False)])
@pytest.mark.parametrize("kind", ["ban", "mute"])
def test_a_lower_rank_lifts_and_changes_nothing(
    room: Room, kind: str, given: int, acts: int, may: bool
) -> None:
    """Neither for longer nor for shorter; an equal one may."""
    sanction, lift = getattr(moderation, kind), getattr(moderation, f"un{kind}")
    sanction(room, ADA, seconds=600, rank=given)
    before = list(Sanction.objects.values())
    for act in (
        lambda: sanction(room, ADA, seconds=1, rank=acts),
        lambda: sanction(room, ADA, rank=acts),
        lambda: lift(room, ADA, rank=acts),
    ):
        if may:
            act()
        else:
            with pytest.raises(CommandError, match="rank"):
                act()
            assert list(Sanction.objects.values()) == before
    assert Sanction.objects.exists() != may


def test_a_kick_prolongs_a_short_ban_and_leaves_its_rank(room: Room) -> None:
    moderation.ban(room, ADA, seconds=1, rank=Rank.SITE)
    moderation.kick(room, ADA, rank=Rank.MODERATOR)
    with pytest.raises(CommandError):
        moderation.unban(room, ADA, rank=Rank.OWNER)


def test_a_ban_that_is_over_is_in_nobodys_way(room: Room) -> None:
    [one] = moderation.ban(room, ADA, seconds=600, rank=Rank.SITE)
    Sanction.objects.filter(pk=one.pk).update(ends_at=one.created_at)
    moderation.ban(room, ADA, seconds=60, rank=Rank.MODERATOR)
    assert Sanction.objects.get().rank == Rank.MODERATOR


def test_a_ban_of_the_last_release_has_the_rank_of_its_user(room: Room) -> None:
    """It has none of its own; without a user it is the site's."""
    owner = user("b", room, "owner")
    Sanction.objects.create(room=room, kind="ban", user_key=ADA, by=owner)
    with pytest.raises(CommandError):
        moderation.unban(room, ADA, rank=Rank.MODERATOR)
    Sanction.objects.update(by=None)
    with pytest.raises(CommandError):
        moderation.unban(room, ADA, rank=Rank.OWNER)
    assert moderation.unban(room, ADA, rank=Rank.SITE) == 1


def test_code_without_a_rank_may_do_all(room: Room) -> None:
    moderation.ban(room, ADA, rank=Rank.SITE)
    assert moderation.unban(room, ADA, by=user("a", room, "moderator")) == 1
