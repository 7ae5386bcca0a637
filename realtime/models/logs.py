"""Logs: the ends of logs, the entries of topics, and entries that wait for their number.

The messages of rooms are in a table of their own (`rooms.py`); the ends of their logs are here.
"""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .rooms import Room, new_epoch

__all__ = ["TOPIC_CHARACTERS", "Entry", "Log", "Pending"]

TOPIC_CHARACTERS = 200
"""The longest name of a topic, and the longest key of a value."""


class Log(models.Model):
    """The end of the log of a room or topic, written by the store alone.

    Positions are assigned under the lock of this row, by `store/outbox/`. No column that an append
    changes may have an index: the row then stays in its page.
    """

    id = models.BigAutoField(primary_key=True)
    room = models.OneToOneField(
        Room, models.CASCADE, null=True, related_name="log", verbose_name=_("room")
    )
    name = models.CharField(_("topic"), max_length=TOPIC_CHARACTERS, null=True, editable=False)
    """The name of the topic; None for the log of a room."""
    last_seq = models.BigIntegerField(_("last position"), default=0)
    purged_seq = models.BigIntegerField(_("purged up to"), default=0)
    rights_seq = models.BigIntegerField(_("changes of rights"), default=0)
    epoch = models.CharField(_("epoch"), max_length=8, default=new_epoch)
    life = models.CharField(max_length=64, default="", db_default="", editable=False)
    """The life of the database server at the last append; empty if it could not be read."""
    last_at = models.DateTimeField(_("last entry"), null=True, editable=False)
    """When the last entry of a topic was numbered, by the clock of the database."""
    deleted_at = models.DateTimeField(_("last deletion"), null=True, editable=False)
    """When a message was last deleted: for a while, its sender may still send it again."""

    class Meta:
        # The name of an earlier model: processes of the last release append to this table
        # during a rolling deploy.
        db_table = "realtime_head"
        verbose_name = _("log")
        verbose_name_plural = _("logs")
        constraints = [
            models.UniqueConstraint(name="realtime_log_name", fields=["name"]),
            models.CheckConstraint(
                name="realtime_head_order",
                condition=Q(purged_seq__gte=0, last_seq__gte=F("purged_seq")),
            ),
            models.CheckConstraint(
                name="realtime_log_owner",
                condition=Q(room__isnull=True, name__isnull=False)
                | Q(room__isnull=False, name__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name or self.room_id}: {self.last_seq}"


class Entry(models.Model):
    """An entry in the log of a topic: an event, or the value of a key.

    An entry without a key never changes. The value of a key is one row: each change moves it to a
    new `changed_seq`, and a deletion leaves a tombstone.
    """

    id = models.BigAutoField(primary_key=True)
    log = models.ForeignKey(
        Log, models.CASCADE, related_name="entries", db_index=False, verbose_name=_("log")
    )
    seq = models.BigIntegerField(_("position"))
    changed_seq = models.BigIntegerField(_("changed at position"))
    type = models.CharField(_("event"), max_length=64)
    """The name of the event."""
    key = models.CharField(_("key"), max_length=TOPIC_CHARACTERS, null=True)
    data = models.TextField(_("data"))
    """The event as JSON text, exactly as it was published; clients get it unchanged."""
    sender = models.CharField(_("sender"), max_length=150, blank=True, default="")
    nonce = models.CharField(_("nonce"), max_length=64, null=True)
    at = models.DateTimeField(_("numbered at"))
    """When it got its position, by the clock of the database; it never decreases in a log."""
    created_at = models.DateTimeField(_("published at"))
    expires_at = models.DateTimeField(_("expires at"), null=True)
    is_deleted = models.BooleanField(_("deleted"), default=False)

    class Meta:
        verbose_name = _("entry")
        verbose_name_plural = _("entries")
        constraints = [
            models.UniqueConstraint(name="realtime_entry_change", fields=["log", "changed_seq"]),
            models.UniqueConstraint(
                name="realtime_entry_key", fields=["log", "key"], condition=Q(key__isnull=False)
            ),
            models.UniqueConstraint(
                name="realtime_entry_nonce",
                fields=["log", "nonce"],
                condition=Q(nonce__isnull=False),
            ),
            models.CheckConstraint(
                name="realtime_entry_order",
                condition=Q(seq__gte=1, changed_seq__gte=F("seq")),
            ),
        ]
        indexes = [
            models.Index(
                name="realtime_entry_keyed",
                fields=["log", "changed_seq"],
                condition=Q(key__isnull=False),
            ),
            models.Index(
                name="realtime_entry_event", fields=["log", "seq"], condition=Q(key__isnull=True)
            ),
            models.Index(
                name="realtime_entry_expires",
                fields=["expires_at"],
                condition=Q(expires_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.changed_seq}"


class Pending(models.Model):
    """Something published that has no position yet (transactional outbox).

    The row is written in the transaction of the publisher, so it exists if and only if that
    commits. Numbering deletes it. There is no foreign key: that would lock the row of the log.
    """

    class Kind(models.TextChoices):
        """What is published."""

        EVENT = "event", _("event")
        SET = "set", _("value")
        DELETE = "delete", _("deletion")
        MESSAGE = "message", _("message")
        RIGHTS = "rights", _("change of rights")

    id = models.BigAutoField(primary_key=True)
    topic = models.CharField(_("topic"), max_length=TOPIC_CHARACTERS, null=True)
    """The name of the topic; None for a room."""
    room_id = models.BigIntegerField(_("room"), null=True)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    type = models.CharField(_("event"), max_length=64, default="")
    key = models.CharField(_("key"), max_length=TOPIC_CHARACTERS, null=True)
    data = models.TextField(_("data"), default="")
    """The event as JSON text; for a message, its draft."""
    sender = models.CharField(_("sender"), max_length=150, default="")
    nonce = models.CharField(_("nonce"), max_length=64, null=True)
    expires_seconds = models.FloatField(_("expires after"), null=True)
    created_at = models.DateTimeField(_("published at"), default=timezone.now)

    class Meta:
        verbose_name = _("pending entry")
        verbose_name_plural = _("pending entries")
        constraints = [
            models.CheckConstraint(
                name="realtime_pending_owner",
                condition=Q(room_id__isnull=True, topic__isnull=False)
                | Q(room_id__isnull=False, topic__isnull=True),
            ),
        ]
        indexes = [
            models.Index(
                name="realtime_pending_topic",
                fields=["topic", "id"],
                condition=Q(topic__isnull=False),
            ),
            models.Index(
                name="realtime_pending_room",
                fields=["room_id", "id"],
                condition=Q(room_id__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.topic or self.room_id}"
