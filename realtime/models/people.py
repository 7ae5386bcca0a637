"""Rows about users and guests: looks of names, times of slow mode, last addresses."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from .rooms import Room

__all__ = ["LastAddress", "Look", "Voice"]


class Look(models.Model):
    """The look of the name of a user or public room; no guest may take a name with the same look.

    `key` is a digest of the name's skeleton (`wire.looks`). The rows are derived from the names:
    each may be deleted at any time and is added again.
    """

    id = models.BigAutoField(primary_key=True)
    key = models.CharField(_("look"), max_length=32)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        db_constraint=False,
        related_name="realtime_looks",
        verbose_name=_("user"),
    )
    room = models.ForeignKey(
        Room,
        models.CASCADE,
        null=True,
        db_constraint=False,
        related_name="looks",
        verbose_name=_("room"),
    )

    class Meta:
        verbose_name = _("look of a name")
        verbose_name_plural = _("looks of names")
        constraints = [
            models.UniqueConstraint(name="realtime_look_user", fields=["key", "user"]),
            models.UniqueConstraint(name="realtime_look_room", fields=["key", "room"]),
        ]

    def __str__(self) -> str:
        return self.key


class Voice(models.Model):
    """The last time of a sender in a room in slow mode, if no message has it.

    `voice` is the `user_id` of a sender of signals, or the address of a guest.
    """

    id = models.BigAutoField(primary_key=True)
    room = models.ForeignKey(
        Room,
        models.CASCADE,
        related_name="+",
        db_index=False,
        db_constraint=False,
        verbose_name=_("room"),
    )
    voice = models.CharField(_("voice"), max_length=150)
    spoke_at = models.DateTimeField(_("spoke at"), db_index=True)

    class Meta:
        verbose_name = _("voice")
        verbose_name_plural = _("voices")
        constraints = [
            models.UniqueConstraint(name="realtime_voice_once", fields=["room", "voice"]),
        ]

    def __str__(self) -> str:
        return self.voice


class LastAddress(models.Model):
    """The address of a guest who has left, kept for `LAST_ADDRESS_SECONDS`."""

    user_key = models.CharField(_("user id"), max_length=150, primary_key=True)
    address = models.CharField(_("address"), max_length=100)
    left_at = models.DateTimeField(_("left at"), db_index=True)

    class Meta:
        verbose_name = _("last address")
        verbose_name_plural = _("last addresses")

    def __str__(self) -> str:
        return self.user_key
