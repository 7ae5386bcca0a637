"""Rooms that are about an object of the site, such as an order."""

import secrets
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet
from django.utils.text import slugify

from ...models import Room
from ...wire.commands import TITLE_CHARACTERS
from ..database.alias import database

__all__ = ["room_for"]

SLUG_CHARACTERS, ENDING_CHARACTERS = 100, 8


def room_for(instance: Model, *, kind: str, title: str) -> Room:
    """Return the room of an object; create it if there is none.

    Raises `ValueError` for an object without a key, and for a kind that such a room cannot have.
    """
    if instance.pk is None:
        raise ValueError(f"{instance!r} has no key yet: save it before it gets a room.")
    if kind not in (Room.Kind.PUBLIC, Room.Kind.PRIVATE):
        raise ValueError(f'The kind of the room must be "public" or "private", not {kind!r}.')
    key = _key(instance)
    slug = _slug(instance)
    for chosen in (slug, f"{slug[: SLUG_CHARACTERS - ENDING_CHARACTERS - 1]}-{_ending()}"):
        if room := _rooms().filter(**key).first():
            return room
        try:
            with transaction.atomic(using=database()):
                return _rooms().create(
                    slug=chosen, kind=kind, title=title[:TITLE_CHARACTERS], **key
                )
        except IntegrityError:  # another process has made the room, or somebody took the slug
            continue
    return _rooms().get(**key)


def _key(instance: Model) -> dict[str, Any]:
    return {"content_type": _type_of(instance), "object_id": str(instance.pk)}


def _type_of(instance: Model) -> ContentType:
    return ContentType.objects.db_manager(database()).get_for_model(instance)


def _slug(instance: Model) -> str:
    name = slugify(f"{instance._meta.model_name}-{instance.pk}", allow_unicode=True)
    return name[:SLUG_CHARACTERS]


def _ending() -> str:
    return secrets.token_hex(ENDING_CHARACTERS // 2)


def _rooms() -> QuerySet[Room]:
    return Room.objects.using(database())
