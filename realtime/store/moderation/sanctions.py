"""Bans and mutes: to whom they apply, and until when."""

from collections.abc import Iterable
from datetime import UTC, timedelta

from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from ...conf import config
from ...models import Sanction
from ...policy import policy
from ..accounts.identity import GUEST, Identity
from ..accounts.visitor import Subject, Visitor
from ..database.alias import database

__all__ = [
    "active_for",
    "applicable",
    "are_any_on_site",
    "ban_among",
    "describe",
    "ends_in",
    "in_force",
    "is_in_force",
    "matches",
    "mute_anywhere",
    "mute_on_site",
    "on_site",
]


TEXTS = {
    Sanction.Kind.BAN.value: (_("You are banned."), _("You are banned until {end}.")),
    Sanction.Kind.MUTE.value: (_("You are muted."), _("You are muted until {end}.")),
}
"""The texts for a user: of a sanction without an end, and of one with an end."""
KICKED = _("You have been removed for a moment, and may come back.")
REASON = _('Reason: "{reason}".')


def active_for(subjects: Iterable[Subject], room_ids: Iterable[int] = ()) -> list[Sanction]:
    """Return the sanctions in force against any of the subjects, in the rooms and site-wide."""
    targets = set(subjects)
    condition = Q(user_key__in={key for one in targets for key in one.user_keys})
    if addresses := {one.address for one in targets if one.address}:
        condition |= Q(address__in=addresses)
    rows = Sanction.objects.using(database()).filter(condition, in_force())
    return list(rows.filter(Q(room__in=list(room_ids)) | Q(room=None)))


def on_site(visitors: Iterable[Visitor]) -> dict[Visitor, list[Sanction]]:
    """Return the site-wide sanctions of each visitor in one query; others are left out."""
    known = list(visitors)
    rows = active_for(one.subject for one in known)
    found = (
        {one: [row for row in rows if matches(row, one.subject)] for one in known} if rows else {}
    )
    return {
        one: mine
        for one, rows in found.items()
        if (mine := _applicable_on_site(one.identity, rows))
    }


def are_any_on_site() -> bool:
    """Return whether any site-wide ban or mute is in force."""
    return Sanction.objects.using(database()).filter(in_force(), room=None).exists()


def mute_on_site(visitor: Visitor) -> Sanction | None:
    """Return a site-wide mute in force against a visitor, by `user_id` or by address."""
    rows = on_site([visitor]).get(visitor, [])
    return next((one for one in rows if one.kind == Sanction.Kind.MUTE), None)


def mute_anywhere(subject: Subject) -> Sanction | None:
    """Return a mute in force against a subject, in any room or site-wide."""
    condition = Q(user_key__in=subject.user_keys)
    if subject.address:
        condition |= Q(address=subject.address)
    rows = Sanction.objects.using(database()).filter(condition, in_force(), kind=Sanction.Kind.MUTE)
    return rows.order_by("pk").first()


def ban_among(sanctions: Iterable[Sanction]) -> Sanction | None:
    """Return the first ban, or None."""
    return next((one for one in sanctions if one.kind == Sanction.Kind.BAN), None)


def applicable(
    found: Iterable[Sanction], identity: Identity, *, is_moderator: bool
) -> list[Sanction]:
    """Return the sanctions that apply: those of an address do not apply to moderators."""
    return [one for one in found if one.user_key in identity.user_ids or not is_moderator]


def _applicable_on_site(identity: Identity, found: list[Sanction]) -> list[Sanction]:
    if all(one.user_key in identity.user_ids for one in found):  # without a call of the policy
        return found
    return applicable(found, identity, is_moderator=policy().may_moderate_site(identity))


def matches(sanction: Sanction, subject: Subject) -> bool:
    """Return whether a sanction is against a subject, by `user_id` or by address."""
    if sanction.user_key in subject.user_keys:
        return True
    is_address = bool(subject.address) and sanction.address == subject.address
    return is_address and (_is_of_site(sanction) or _is_newcomer(sanction, subject))


def _is_of_site(sanction: Sanction) -> bool:
    return sanction.room_id is None or sanction.rank in (None, Sanction.Rank.SITE)


def _is_newcomer(sanction: Sanction, subject: Subject) -> bool:
    """Return whether the subject is a guest who entered after the sanction was given.

    Such a guest may be the same person as the sanctioned one. Guests who were there before are
    exempt. So are users: otherwise a moderator of a room would see which users share an address.
    """
    is_guest = subject.user_key.startswith(GUEST)
    return is_guest and (subject.since is None or subject.since > sanction.created_at)


def describe(sanction: Sanction, *user_keys: str) -> Promise:
    """Return the text for a user to whom a sanction applies.

    It has the reason only if the sanction is against this user and not against another one of the
    same address. `user_keys` are the current and the earlier `user_id`s of the connection.
    """
    for_good, until = TEXTS[sanction.kind]
    text = for_good
    if _is_kick(sanction):
        text = KICKED
    elif sanction.ends_at is not None:
        end = f"{sanction.ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        text = format_lazy(until, end=end)
    is_own = not user_keys or sanction.user_key in ("", *user_keys)
    if sanction.reason and is_own:
        return format_lazy("{} {}", text, format_lazy(REASON, reason=sanction.reason))
    return text


def _is_kick(sanction: Sanction) -> bool:
    # A ban as short as a kick has the same text.
    if sanction.kind != Sanction.Kind.BAN or sanction.ends_at is None:
        return False
    return sanction.ends_at - sanction.created_at <= timedelta(seconds=config().kick_seconds + 1)


def ends_in(sanction: Sanction) -> float | None:
    """Return the seconds until a sanction ends, or None if it does not end."""
    if sanction.ends_at is None:
        return None
    return max(0.0, (sanction.ends_at - timezone.now()).total_seconds())


def in_force() -> Q:
    """Return the condition for sanctions that have not ended."""
    return Q(ends_at=None) | Q(ends_at__gt=timezone.now())


def is_in_force(sanction: Sanction) -> bool:
    """Return whether a sanction has not ended."""
    return sanction.ends_at is None or sanction.ends_at > timezone.now()
