"""Sanctions, blocks and reports."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..wire.commands import REASON_CHARACTERS
from .rooms import Message, Room

__all__ = ["Block", "Report", "Sanction"]


class Block(models.Model):
    """A user's block of another user or guest, which closes their direct room."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="realtime_blocks",
        verbose_name=_("user"),
    )
    blocked = models.CharField(_("user id"), max_length=150, db_index=True)
    created_at = models.DateTimeField(_("since"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("block")
        verbose_name_plural = _("blocks")
        constraints = [
            models.UniqueConstraint(name="realtime_block_once", fields=["user", "blocked"]),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.blocked}"


class Sanction(models.Model):
    """A ban or a mute of a user or guest, of an address or of both: in one room or in all."""

    class Kind(models.TextChoices):
        """What the sanction forbids: to enter, or to write."""

        BAN = "ban", _("ban")
        MUTE = "mute", _("mute")

    class Rank(models.IntegerChoices):
        """The rank of the moderator who gave the sanction."""

        MODERATOR = 1, _("moderator of the room")
        OWNER = 2, _("owner of the room")
        SITE = 3, _("staff")

    kind = models.CharField(_("kind"), max_length=4, choices=Kind)
    room = models.ForeignKey(
        Room,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="sanctions",
        verbose_name=_("room"),
        help_text=_("Empty is the whole site."),
    )
    user_key = models.CharField(_("user id"), max_length=150, blank=True, db_index=True)
    address = models.CharField(
        _("address"),
        max_length=50,
        blank=True,
        db_index=True,
        help_text=_("An IPv4 address, or the /64 network of an IPv6 one."),
    )
    username = models.CharField(_("name"), max_length=150, blank=True)
    reason = models.CharField(_("reason"), max_length=REASON_CHARACTERS, blank=True)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("by"),
    )
    rank = models.PositiveSmallIntegerField(
        _("rank"),
        choices=Rank,
        null=True,
        editable=False,
        help_text=_("Of who gave it: only the same or a higher one changes or lifts it."),
    )
    created_at = models.DateTimeField(_("since"), default=timezone.now, editable=False)
    ends_at = models.DateTimeField(
        _("until"), null=True, blank=True, db_index=True, help_text=_("Empty is for good.")
    )

    class Meta:
        verbose_name = _("sanction")
        verbose_name_plural = _("sanctions")
        constraints = [
            models.CheckConstraint(
                name="realtime_sanction_kind", condition=Q(kind__in=["ban", "mute"])
            ),
            models.CheckConstraint(
                name="realtime_sanction_whom",
                condition=~Q(user_key="", address=""),
            ),
            models.UniqueConstraint(
                name="realtime_sanction_once",
                fields=["room", "kind", "user_key", "address"],
                condition=Q(room__isnull=False),
            ),
            models.UniqueConstraint(
                name="realtime_sanction_site_once",
                fields=["kind", "user_key", "address"],
                condition=Q(room__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.username or self.user_key or self.address}"


class Report(models.Model):
    """A report about a message; open until a moderator closes it."""

    message = models.ForeignKey(
        Message, models.CASCADE, related_name="reports", verbose_name=_("message")
    )
    reporter = models.CharField(_("user id"), max_length=150)
    username = models.CharField(_("name"), max_length=150)
    address = models.CharField(
        _("address"), max_length=50, blank=True, default="", db_default="", editable=False
    )
    """The address of a guest: it bounds the number of open reports."""
    reason = models.CharField(_("reason"), max_length=REASON_CHARACTERS, blank=True)
    created_at = models.DateTimeField(_("reported at"), default=timezone.now, editable=False)
    resolved_at = models.DateTimeField(_("resolved at"), null=True, blank=True, db_index=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("resolved by"),
    )

    class Meta:
        verbose_name = _("report")
        verbose_name_plural = _("reports")
        constraints = [
            models.UniqueConstraint(name="realtime_report_once", fields=["message", "reporter"]),
        ]
        indexes = [
            models.Index(
                name="realtime_report_open", fields=["reporter"], condition=Q(resolved_at=None)
            ),
            models.Index(
                name="realtime_report_from", fields=["address"], condition=Q(resolved_at=None)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.username}: {self.reason[:40]}"
