"""Whatever changes who may do what in a room says so in the same transaction.

Bulk queries send no signals: code that uses them calls `history.change_rights` itself.
"""

from typing import Any

from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from ..models import Membership, Room, Sanction
from .history import change_rights

__all__: list[str] = []


@receiver([post_save, post_delete], sender=Membership, dispatch_uid="realtime.membership")
def _membership_changed(instance: Membership, **_: Any) -> None:
    change_rights([instance.room_id], str(instance.user_id))


@receiver([post_save, post_delete], sender=Sanction, dispatch_uid="realtime.sanction")
def _sanction_changed(instance: Sanction, **_: Any) -> None:
    if instance.room_id is not None:
        change_rights([instance.room_id], "" if instance.address else instance.user_key)


@receiver(post_save, sender=Room, dispatch_uid="realtime.room")
def _room_changed(instance: Room, created: bool, **_: Any) -> None:
    if not created:
        change_rights([instance.pk])
