"""Rooms and who belongs to them."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Count, F, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from ..models import Membership, Message, Presence, Room
from ..store import presence
from .large import LargeAdmin, RoomFilter

__all__ = ["MembershipAdmin", "RoomAdmin"]


@admin.register(Room)
class RoomAdmin(LargeAdmin):
    """A room keeps its slug, because clients know it by that, and its log."""

    list_display = ("slug", "title", "kind", "position", "here", "links")
    list_filter = ("kind",)
    search_fields = ("slug", "title")
    fields = ("title", "slug", "kind", "position", "epoch", "created_at")
    sortable_by = ("slug",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Room]:
        """Rooms with their position and with how many users are there."""
        here = (
            Presence.objects.filter(room=OuterRef("pk"), connection__in=presence.live_connections())
            .order_by()
            .values("room")
            .annotate(number=Count("user_key", distinct=True))
            .values("number")
        )
        rooms: QuerySet[Room] = super().get_queryset(request)
        return rooms.annotate(
            position=Coalesce(F("head__last_seq"), 0),
            here=Coalesce(Subquery(here, output_field=IntegerField()), 0),
        ).select_related("head")

    def get_readonly_fields(self, request: HttpRequest, obj: Room | None = None) -> list[str]:
        """What clients or the log depend on does not change."""
        fixed = ["position", "epoch", "created_at"]
        if obj is not None:
            fixed.append("slug")
            if obj.kind == Room.Kind.DIRECT:
                fixed.append("kind")
        return fixed

    def get_prepopulated_fields(
        self, request: HttpRequest, obj: Room | None = None
    ) -> dict[str, Sequence[str]]:
        """A new room's slug follows its title."""
        return {} if obj is not None else {"slug": ("title",)}

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A direct room is made by its two users, not here."""
        if db_field.name == "kind":
            kinds = [choice for choice in Room.Kind.choices if choice[0] != Room.Kind.DIRECT]
            kwargs["choices"] = kinds
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Room | None = None) -> bool:
        """Only one by one, and where nothing was ever said: messages are not deleted from here."""
        if obj is None or Message.objects.filter(room=obj).exists():
            return False
        return super().has_delete_permission(request, obj)

    @admin.display(description=_("position"))
    def position(self, room: Any) -> int:
        """How far the log goes."""
        return getattr(room, "position", 0)

    @admin.display(description=_("epoch"))
    def epoch(self, room: Room) -> str:
        """The epoch of the log."""
        return room.head.epoch if hasattr(room, "head") else "-"

    @admin.display(description=_("here now"))
    def here(self, room: Any) -> int:
        """How many users are in the room now."""
        return int(room.here)

    @admin.display(description="")
    def links(self, room: Room) -> str:
        """To what belongs to the room."""
        names = (("message", _("messages")), ("membership", _("memberships")))
        links = [
            format_html(
                '<a href="{}?room={}">{}</a>',
                reverse(f"{self.admin_site.name}:realtime_{name}_changelist"),
                room.pk,
                text,
            )
            for name, text in names
        ]
        return format_html("{} · {}", *links)


@admin.register(Membership)
class MembershipAdmin(LargeAdmin):
    """Who belongs to a room, as what."""

    list_display = ("user", "room", "role", "joined_at")
    list_filter = ("role", RoomFilter)
    list_select_related = ("room", "user")
    fields = ("room", "user", "role", "read_seq", "joined_at")
    raw_id_fields = ("room", "user")
    sortable_by = ()

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """The room's slug and the user's name."""
        return "room__slug", f"user__{get_user_model().USERNAME_FIELD}"

    def get_readonly_fields(
        self, request: HttpRequest, obj: Membership | None = None
    ) -> tuple[str, ...]:
        """A membership stays one user's in one room."""
        fixed = ("read_seq", "joined_at")
        return fixed if obj is None else ("room", "user", *fixed)
