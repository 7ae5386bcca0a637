"""Rooms, their messages and their members."""

import secrets
import string

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.validators import MaxValueValidator, MinLengthValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..wire.commands import MAX_SLOW_SECONDS, TITLE_CHARACTERS

__all__ = ["LEAST_DAYS", "Departure", "Membership", "Message", "Room", "new_epoch"]

LEAST_DAYS = 7
"""Younger messages may still be sent again by their sender, or resumed by other clients."""
EPOCH_ALPHABET = string.ascii_letters + string.digits


def new_epoch() -> str:
    """Return eight random characters that identify one unbroken period of a room's log."""
    return "".join(secrets.choice(EPOCH_ALPHABET) for _ in range(8))


class Room(models.Model):
    """A room with an ordered log of messages.

    Clients address it by its slug, which never changes. The position counter is in `Log`, so that
    saving an outdated `Room` cannot rewind it.
    """

    class Kind(models.TextChoices):
        """The kind of a room, which decides who may find and enter it."""

        PUBLIC = "public", _("public")
        PRIVATE = "private", _("private")
        DIRECT = "direct", _("direct")

    slug = models.SlugField(_("slug"), max_length=100, unique=True, allow_unicode=True)
    title = models.CharField(_("title"), max_length=TITLE_CHARACTERS, blank=True)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.PUBLIC)
    direct_key = models.CharField(
        _("direct key"),
        max_length=64,
        unique=True,
        null=True,
        blank=True,
        editable=False,
        validators=[MinLengthValidator(1)],
        help_text=_("The two users of a direct room, hashed."),
    )
    slow_seconds = models.PositiveIntegerField(
        _("slow mode"),
        default=0,
        validators=[MaxValueValidator(MAX_SLOW_SECONDS)],
        help_text=_("Seconds that everybody has to wait between two messages."),
    )
    is_read_only = models.BooleanField(
        _("read only"), default=False, help_text=_("Only moderators may write.")
    )
    keep_days = models.PositiveIntegerField(
        _("days of messages"),
        null=True,
        blank=True,
        validators=[MinValueValidator(LEAST_DAYS)],
        help_text=_("Older messages are removed. Empty: the default of the site."),
    )
    is_held = models.BooleanField(
        _("legal hold"),
        default=False,
        db_default=False,
        help_text=_("Age and erasing remove no message; senders and moderators still can."),
    )
    invitation_key = models.CharField(max_length=8, default=new_epoch, editable=False)
    """A part of signed invitations; changing it invalidates all that were given out."""
    creator = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("created by"),
        help_text=_("The user whose `create` made the room, and whose limit it counts against."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    content_type = models.ForeignKey(
        ContentType,
        models.CASCADE,
        null=True,
        blank=True,
        editable=False,
        db_index=False,
        related_name="+",
        verbose_name=_("type of the object"),
    )
    object_id = models.CharField(
        _("key of the object"), max_length=150, null=True, blank=True, editable=False
    )
    content_object = GenericForeignKey()
    """The object of the site that the room is about (`rooms.room_for`), or None."""

    class Meta:
        verbose_name = _("room")
        verbose_name_plural = _("rooms")
        ordering = ["slug"]
        permissions = [("moderate_room", _("Can moderate all rooms"))]
        constraints = [
            models.CheckConstraint(
                name="realtime_room_direct_key",
                condition=Q(kind="direct", direct_key__isnull=False)
                | (~Q(kind="direct") & Q(direct_key__isnull=True)),
            ),
            models.CheckConstraint(
                name="realtime_room_kind", condition=Q(kind__in=["public", "private", "direct"])
            ),
            models.UniqueConstraint(
                name="realtime_room_object",
                fields=["content_type", "object_id"],
                condition=Q(object_id__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.title or self.slug


class Membership(models.Model):
    """A user's membership of a room, with a role."""

    class Role(models.TextChoices):
        """The role of the member."""

        OWNER = "owner", _("owner")
        MODERATOR = "moderator", _("moderator")
        MEMBER = "member", _("member")

    room = models.ForeignKey(
        Room, models.CASCADE, related_name="memberships", verbose_name=_("room")
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="realtime_memberships",
        verbose_name=_("user"),
    )
    role = models.CharField(_("role"), max_length=10, choices=Role, default=Role.MEMBER)
    read_seq = models.BigIntegerField(_("read up to"), default=0)
    is_request = models.BooleanField(
        _("request"),
        default=False,
        db_default=False,
        editable=False,
        help_text=_("A direct room that a stranger opened and that the user has not accepted."),
    )
    joined_at = models.DateTimeField(_("joined at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [
            models.UniqueConstraint(name="realtime_membership_once", fields=["room", "user"]),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.room_id}"


class Departure(models.Model):
    """A user left a room for good: only the user's own act makes the user a member again."""

    room = models.ForeignKey(
        Room, models.CASCADE, related_name="departures", verbose_name=_("room")
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="realtime_departures",
        verbose_name=_("user"),
    )
    left_at = models.DateTimeField(_("left at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("departure")
        verbose_name_plural = _("departures")
        constraints = [
            models.UniqueConstraint(name="realtime_departure_once", fields=["room", "user"]),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} from {self.room_id}"


class Message(models.Model):
    """A chat message.

    `seq` is its position in the room's log and never changes; `changed_seq` is the position of
    its last change. `sender` is the protocol's `user_id`: it also identifies guests and, like
    `username`, stays when the user is deleted.
    """

    id = models.BigAutoField(primary_key=True)
    room = models.ForeignKey(
        Room,
        models.CASCADE,
        related_name="messages",
        db_index=False,
        verbose_name=_("room"),
    )
    seq = models.BigIntegerField(_("position"))
    changed_seq = models.BigIntegerField(_("changed at position"))
    sender = models.CharField(_("sender"), max_length=150)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="realtime_messages",
        verbose_name=_("user"),
    )
    username = models.CharField(_("name"), max_length=150)
    content = models.TextField(_("content"), blank=True)
    data = models.JSONField(_("data"), null=True, blank=True)
    nonce = models.CharField(_("nonce"), max_length=64)
    created_at = models.DateTimeField(_("sent at"), default=timezone.now)
    edited_at = models.DateTimeField(_("edited at"), null=True, blank=True)
    deleted_at = models.DateTimeField(_("deleted at"), null=True, blank=True)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        permissions = [("view_direct_message", _("Can view messages of direct rooms"))]
        constraints = [
            models.UniqueConstraint(name="realtime_message_seq", fields=["room", "seq"]),
            models.UniqueConstraint(name="realtime_message_change", fields=["room", "changed_seq"]),
            models.UniqueConstraint(
                name="realtime_message_nonce", fields=["room", "sender", "nonce"]
            ),
            models.CheckConstraint(
                name="realtime_message_order",
                condition=Q(seq__gte=1, changed_seq__gte=models.F("seq")),
            ),
        ]
        indexes = [models.Index(name="realtime_message_sent", fields=["created_at"])]

    def __str__(self) -> str:
        return f"{self.username}: {self.content[:40]}"
