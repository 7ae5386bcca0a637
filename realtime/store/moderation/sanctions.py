"""Bans and mutes: whom they hit, and until when."""

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
"""What a user is told of a ban or mute without an end, and of one with an end."""
KICKED = _("You have been removed for a moment, and may come back.")
REASON = _('Reason: "{reason}".')


def active_for(subjects: Iterable[Subject], room_ids: Iterable[int] = ()) -> list[Sanction]:
    """All that is in force against any of them: in these rooms, and on the whole site."""
    asked = set(subjects)
    whom = Q(user_key__in={key for one in asked for key in one.user_keys})
    if addresses := {one.address for one in asked if one.address}:
        whom |= Q(address__in=addresses)
    rows = Sanction.objects.using(database()).filter(whom, in_force())
    return list(rows.filter(Q(room__in=list(room_ids)) | Q(room=None)))


def on_site(visitors: Iterable[Visitor]) -> dict[Visitor, list[Sanction]]:
    """What is in force against each on the whole site, in one query; those without are left out."""
    asked = list(visitors)
    rows = active_for(one.subject for one in asked)
    found = (
        {one: [row for row in rows if matches(row, one.subject)] for one in asked} if rows else {}
    )
    return {one: mine for one, known in found.items() if (mine := _felt_on_site(one.who, known))}


def are_any_on_site() -> bool:
    """Whether anybody at all is banned or muted on the whole site now."""
    return Sanction.objects.using(database()).filter(in_force(), room=None).exists()


def mute_on_site(visitor: Visitor) -> Sanction | None:
    """Return a mute in force against somebody on the whole site, by name or by address."""
    rows = on_site([visitor]).get(visitor, [])
    return next((one for one in rows if one.kind == Sanction.Kind.MUTE), None)


def mute_anywhere(subject: Subject) -> Sanction | None:
    """Return a mute in force against somebody, in whichever room or on the whole site."""
    whom = Q(user_key__in=subject.user_keys)
    if subject.address:
        whom |= Q(address=subject.address)
    rows = Sanction.objects.using(database()).filter(whom, in_force(), kind=Sanction.Kind.MUTE)
    return rows.order_by("pk").first()


def ban_among(sanctions: Iterable[Sanction]) -> Sanction | None:
    """The first ban of them."""
    return next((one for one in sanctions if one.kind == Sanction.Kind.BAN), None)


def applicable(found: Iterable[Sanction], who: Identity, *, is_moderator: bool) -> list[Sanction]:
    """Those of them that count: of a whole address only for whoever does not moderate there."""
    return [one for one in found if one.user_key in who.user_ids or not is_moderator]


def _felt_on_site(who: Identity, found: list[Sanction]) -> list[Sanction]:
    if all(one.user_key in who.user_ids for one in found):  # without asking the policy
        return found
    return applicable(found, who, is_moderator=policy().may_moderate_site(who))


def matches(sanction: Sanction, subject: Subject) -> bool:
    """Whether it is against them, by name or by address."""
    if sanction.user_key in subject.user_keys:
        return True
    is_address = bool(subject.address) and sanction.address == subject.address
    return is_address and (_is_of_site(sanction) or _is_newcomer(sanction, subject))


def _is_of_site(sanction: Sanction) -> bool:
    return sanction.room_id is None or sanction.rank in (None, Sanction.Rank.SITE)


def _is_newcomer(sanction: Sanction, subject: Subject) -> bool:
    """Whether they are a guest who came after it: perhaps the same person as another guest.

    Those who are there already are spared, and so are users: a room's moderator would see who
    shares an address.
    """
    is_guest = subject.user_key.startswith(GUEST)
    return is_guest and (subject.since is None or subject.since > sanction.created_at)


def describe(sanction: Sanction, *user_keys: str) -> Promise:
    """Tell a user of a sanction; the reason is left out where it concerns another person.

    `user_keys` are the user's own, and those that the same connection had before.
    """
    for_good, until = TEXTS[sanction.kind]
    text = for_good
    if _is_kick(sanction):
        text = KICKED
    elif sanction.ends_at is not None:
        end = f"{sanction.ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        text = format_lazy(until, end=end)
    is_theirs = not user_keys or sanction.user_key in ("", *user_keys)
    if sanction.reason and is_theirs:
        return format_lazy("{} {}", text, format_lazy(REASON, reason=sanction.reason))
    return text


def _is_kick(sanction: Sanction) -> bool:
    # A ban that is no longer than a kick says the same.
    if sanction.kind != Sanction.Kind.BAN or sanction.ends_at is None:
        return False
    return sanction.ends_at - sanction.created_at <= timedelta(seconds=config().kick_seconds + 1)


def ends_in(sanction: Sanction) -> float | None:
    """Seconds until it is over, if it ends."""
    if sanction.ends_at is None:
        return None
    return max(0.0, (sanction.ends_at - timezone.now()).total_seconds())


def in_force() -> Q:
    """Those that are not over."""
    return Q(ends_at=None) | Q(ends_at__gt=timezone.now())


def is_in_force(sanction: Sanction) -> bool:
    """Whether this one is not over."""
    return sanction.ends_at is None or sanction.ends_at > timezone.now()
