"""What tests of live lists undo, because other tests save rooms and users too."""

from django.contrib.auth.models import User
from django.db.models import Model
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from realtime.models import Room
from realtime.topics.rows import UID


def disconnect(*others: type[Model]) -> None:
    """Undo what the definition of a live list has connected."""
    for signal in (pre_save, post_save, pre_delete, post_delete):
        for sender in (Room, User, *others):
            signal.disconnect(sender=sender, dispatch_uid=UID)
