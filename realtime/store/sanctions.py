"""Bans and mutes: whom they hit, and until when."""

from collections.abc import Iterable
from datetime import UTC
from typing import NamedTuple

from django.db.models import Q
from django.utils import timezone

from ..models import Sanction
from .history import database

__all__ = ["Subject", "against", "banned_from_site", "hits", "told"]


class Subject(NamedTuple):
    """Whom a sanction may hit; `address` is empty where it is not known, or is a proxy's."""

    user_key: str
    address: str = ""


def against(subjects: Iterable[Subject], room_ids: Iterable[int] = ()) -> list[Sanction]:
    """All that is in force against any of them: in these rooms, and on the whole site."""
    asked = set(subjects)
    whom = Q(user_key__in={one.user_key for one in asked})
    if addresses := {one.address for one in asked if one.address}:
        whom |= Q(address__in=addresses)
    rows = Sanction.objects.using(database()).filter(whom, _in_force())
    return list(rows.filter(Q(room__in=list(room_ids)) | Q(room=None)))


def banned_from_site(subjects: Iterable[Subject]) -> dict[Subject, Sanction]:
    """The bans that keep any of them off the whole site, in one query."""
    asked = list(subjects)
    found = [one for one in against(asked) if one.kind == Sanction.Kind.BAN]
    return {subject: one for subject in asked for one in found if hits(one, subject)}


def hits(sanction: Sanction, subject: Subject) -> bool:
    """Whether it is against them, by name or by address."""
    if sanction.user_key == subject.user_key:
        return True
    return bool(subject.address) and sanction.address == subject.address


def told(sanction: Sanction) -> str:
    """What they hear who run into it."""
    text = "you are banned" if sanction.kind == Sanction.Kind.BAN else "you are muted"
    if sanction.ends_at is not None:
        text += f" until {sanction.ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"{text}: {sanction.reason}" if sanction.reason else text


def _in_force() -> Q:
    return Q(ends_at=None) | Q(ends_at__gt=timezone.now())
