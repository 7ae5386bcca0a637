"""Count changes of rights: each write that changes rights raises a counter in its transaction.

Bulk queries send no signals: code that uses them calls `history.change_rights` itself.
"""

from typing import Any

from django.db.models import F
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from ...models import Membership, Rights, Room, Sanction
from ..database.alias import database
from ..messages.history import change_rights, change_site_sanctions
from ..moderation import names

__all__ = ["all_rights_seq", "change_all_rights"]

NAMED_BY = {"kind", "slug", "title"}
"""Fields of a room on which the looks of its names depend."""


def all_rights_seq() -> int:
    """Return the number of changes of rights that apply to more than one room."""
    found = _only().values_list("seq", flat=True)
    return found[0] if found else 0


def change_all_rights() -> None:
    """Invalidate all rights in all rooms; the caller notifies the processes."""
    if not _only().update(seq=F("seq") + 1):
        _only().update_or_create(id=Rights.ONLY, defaults={"seq": 1})


def _only() -> Any:
    return Rights.objects.using(database()).filter(pk=Rights.ONLY)


@receiver([post_save, post_delete], sender=Membership, dispatch_uid="realtime.membership")
def _membership_changed(instance: Membership, **_: Any) -> None:
    change_rights([instance.room_id], str(instance.user_id))


@receiver([post_save, post_delete], sender=Sanction, dispatch_uid="realtime.sanction")
def _sanction_changed(instance: Sanction, **_: Any) -> None:
    user_id = "" if instance.address else instance.user_key
    if instance.room_id is not None:
        change_rights([instance.room_id], user_id)
    else:
        change_site_sanctions(user_id)


@receiver(post_save, sender=Room, dispatch_uid="realtime.room")
def _room_changed(
    instance: Room, created: bool, raw: bool = False, update_fields: Any = None, **_: Any
) -> None:
    if not raw and (update_fields is None or NAMED_BY & set(update_fields)):
        names.follow_room(instance)
    if not created:
        change_rights([instance.pk])
