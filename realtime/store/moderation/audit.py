"""Write the audit log: actions of moderators, as entries in the log of Django's admin.

The number of entries is bounded for a user who is not staff, because any user may own a room.
"""

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.db.models import Model

from ...conf import config
from ..accounts.identity import Identity

__all__ = ["ADDITION", "CHANGE", "DELETION", "record", "record_all"]

ADDITION, CHANGE, DELETION = 1, 2, 3
"""As in `django.contrib.admin.models`, which may not be installed."""
REPR_CHARACTERS = 200


def record(by: Identity | None, about: Model, flag: int, text: str) -> None:
    """Record that a user did something with an object; acts of the site itself are not recorded."""
    record_all(by, [about], flag, text)


def record_all(by: Identity | None, objects: Sequence[Model], flag: int, text: str) -> None:
    """Record that a user did the same with several objects of one model."""
    if not objects or by is None or by.user is None:
        return
    if not apps.is_installed("django.contrib.admin"):
        return
    entries: Any = apps.get_model("admin", "LogEntry")
    types: Any = apps.get_model("contenttypes", "ContentType")
    kind = types.objects.get_for_model(objects[0])
    entries.objects.bulk_create(
        entries(
            user_id=by.user.pk,
            content_type=kind,
            object_id=str(one.pk),
            object_repr=str(one)[:REPR_CHARACTERS],
            action_flag=flag,
            change_message=text,
        )
        for one in objects
    )
    if not getattr(by.user, "is_staff", False):
        _delete_oldest(entries, types, by.user.pk)


def _delete_oldest(entries: Any, types: Any, user_pk: Any) -> None:
    ours = types.objects.filter(app_label="realtime").values("pk")
    mine = entries.objects.filter(user_id=user_pk, content_type__in=ours)
    newest = mine.order_by("-pk").values_list("pk", flat=True)
    for oldest in newest[config().audit_entries : config().audit_entries + 1]:
        mine.filter(pk__lte=oldest).delete()
