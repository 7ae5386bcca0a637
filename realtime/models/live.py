"""Open connections. The rows are leases: they are valid only while their node is alive."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .logs import TOPIC_CHARACTERS
from .rooms import Room

__all__ = ["Connection", "Live", "Node", "Occupancy", "Presence", "TopicOccupancy"]


class Node(models.Model):
    """One server process; alive until `expires_at` by the clock of the database."""

    id = models.CharField(_("id"), max_length=16, primary_key=True)
    hostname = models.CharField(_("host"), max_length=255)
    pid = models.IntegerField(_("process"))
    birth = models.CharField(max_length=120, blank=True, default="", db_default="", editable=False)
    """Distinguishes the process from a later one with the same number on the same kernel."""
    started_at = models.DateTimeField(_("started at"), default=timezone.now)
    expires_at = models.DateTimeField(_("lease ends"), db_index=True)
    reaper = models.CharField(_("reaped by"), max_length=16, blank=True)
    drain_seconds = models.PositiveIntegerField(_("drains over"), null=True, blank=True)
    """Over how many seconds it moves its clients to other processes; None while it serves."""

    class Meta:
        verbose_name = _("node")
        verbose_name_plural = _("nodes")

    def __str__(self) -> str:
        return f"{self.id} ({self.hostname}:{self.pid})"


class Live(Node):
    """The live page in the list of the admin, with a permission of its own; it has no rows."""

    class Meta:
        proxy = True
        default_permissions = ("view",)
        verbose_name = _("live page")
        verbose_name_plural = _("live")


class Connection(models.Model):
    """One live socket; `id` is `<node id>.<number>`."""

    id = models.CharField(_("id"), max_length=40, primary_key=True)
    node = models.ForeignKey(
        Node, models.CASCADE, related_name="connections", verbose_name=_("node")
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="realtime_connections",
        verbose_name=_("user"),
    )
    user_key = models.CharField(_("user id"), max_length=150, db_index=True)
    username = models.CharField(_("name"), max_length=150)
    address = models.CharField(_("address"), max_length=100, blank=True)
    look = models.CharField(_("look"), max_length=32, null=True, editable=False)
    """The look of a guest's chosen name (`wire.looks`)."""
    connected_at = models.DateTimeField(_("since"), default=timezone.now)

    class Meta:
        verbose_name = _("connected client")
        verbose_name_plural = _("connected clients")
        indexes = [
            models.Index(
                name="realtime_connection_look",
                fields=["look"],
                condition=models.Q(look__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.username} ({self.id})"


class Presence(models.Model):
    """A connection that is in a room, or subscribed to a topic, now."""

    id = models.BigAutoField(primary_key=True)
    connection = models.ForeignKey(
        Connection, models.CASCADE, related_name="presences", verbose_name=_("connected client")
    )
    room = models.ForeignKey(
        Room,
        models.CASCADE,
        null=True,
        related_name="presences",
        db_index=False,
        db_constraint=False,
        verbose_name=_("room"),
    )
    topic = models.CharField(_("topic"), max_length=TOPIC_CHARACTERS, null=True)
    """The name of the topic; None for a room."""
    user_key = models.CharField(_("user id"), max_length=150)
    username = models.CharField(_("name"), max_length=150)

    class Meta:
        verbose_name = _("presence")
        verbose_name_plural = _("presences")
        constraints = [
            models.UniqueConstraint(name="realtime_presence_once", fields=["connection", "room"]),
            models.UniqueConstraint(
                name="realtime_presence_topic_once",
                fields=["connection", "topic"],
                condition=Q(topic__isnull=False),
            ),
            models.CheckConstraint(
                name="realtime_presence_place",
                condition=Q(room__isnull=True, topic__isnull=False)
                | Q(room__isnull=False, topic__isnull=True),
            ),
        ]
        indexes = [
            models.Index(name="realtime_presence_room", fields=["room", "user_key"]),
            models.Index(
                name="realtime_presence_topic",
                fields=["topic", "user_key"],
                condition=Q(topic__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.username} in {self.place}"

    @property
    def place(self) -> Any:
        """The primary key of the room, or the name of the topic."""
        return self.room_id if self.topic is None else self.topic


class Occupancy(models.Model):
    """A room that has users, as the hooks of the site were told; only written if there are such."""

    room = models.OneToOneField(Room, models.CASCADE, primary_key=True, verbose_name=_("room"))
    since = models.DateTimeField(_("since"), default=timezone.now)

    class Meta:
        verbose_name = _("occupied room")
        verbose_name_plural = _("occupied rooms")

    def __str__(self) -> str:
        return str(self.room_id)


class TopicOccupancy(models.Model):
    """A topic that has subscribers, as the hooks of the site were told."""

    topic = models.CharField(_("topic"), max_length=TOPIC_CHARACTERS, primary_key=True)
    since = models.DateTimeField(_("since"), default=timezone.now)

    class Meta:
        verbose_name = _("occupied topic")
        verbose_name_plural = _("occupied topics")

    def __str__(self) -> str:
        return self.topic
