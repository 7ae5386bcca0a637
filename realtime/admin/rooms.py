"""The admin of rooms and memberships."""

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Count, F, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from .. import push
from ..models import Membership, Message, Presence, Room
from ..store import presence
from ..store.accounts.identity import Identity
from ..store.rooms import memberships
from ..wire.commands import TITLE_CHARACTERS
from ..wire.looks import clean_line
from .confirmation import ActionPageAdmin, ConfirmForm, bound_if_submitted
from .large import LargeAdmin, RoomFilter
from .notices import UNREACHABLE, NoticeForm, may_control

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Any]
else:
    ModelForm = forms.ModelForm

__all__ = ["MembershipAdmin", "RoomAdmin"]


class RoomForm(ModelForm):
    """The settings of a room."""

    def clean_title(self) -> str:
        """Return the title without invisible characters."""
        return clean_line(self.cleaned_data["title"], TITLE_CHARACTERS)

    def clean_slow_seconds(self) -> int:
        """Return 0 for an empty field: no slow mode."""
        return self.cleaned_data["slow_seconds"] or 0


@admin.register(Room)
class RoomAdmin(ActionPageAdmin):
    """Rooms; the slug does not change, because clients address the room by it."""

    form = RoomForm
    list_display = (
        "slug",
        "title",
        "kind",
        "here",
        "links",
        "slow",
        "is_read_only",
        "position",
    )
    list_filter = ("kind", "is_read_only")
    search_fields = ("slug", "title")
    fields = (
        "title",
        "slug",
        "kind",
        "slow_seconds",
        "is_read_only",
        "keep_days",
        "is_held",
        "position",
        "epoch",
        "created_at",
    )
    sortable_by = ("slug",)
    actions = ("send_notice", "void_invitations")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Room]:
        """Return rooms with their positions and numbers of present users."""
        here = (
            Presence.objects.filter(room=OuterRef("pk"), connection__in=presence.live_connections())
            .order_by()
            .values("room")
            .annotate(number=Count("user_key", distinct=True))
            .values("number")
        )
        rooms: QuerySet[Room] = super().get_queryset(request)
        return rooms.annotate(
            position=Coalesce(F("log__last_seq"), 0),
            here=Coalesce(Subquery(here, output_field=IntegerField()), 0),
        ).select_related("log")

    def get_readonly_fields(self, request: HttpRequest, obj: Room | None = None) -> list[str]:
        """Return the fields on which clients or the log depend."""
        fixed = ["position", "epoch", "created_at"]
        if obj is not None:
            fixed.append("slug")
            if obj.kind == Room.Kind.DIRECT:
                fixed.append("kind")
        return fixed

    def get_prepopulated_fields(
        self, request: HttpRequest, obj: Room | None = None
    ) -> dict[str, Sequence[str]]:
        """Derive the slug of a new room from its title."""
        return {} if obj is not None else {"slug": ("title",)}

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Exclude direct rooms, which only their two users create."""
        if db_field.name == "kind":
            kinds = [choice for choice in Room.Kind.choices if choice[0] != Room.Kind.DIRECT]
            kwargs["choices"] = kinds
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Allow an empty slow mode."""
        if db_field.name == "slow_seconds":
            kwargs["required"] = False
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Room | None = None) -> bool:
        """Allow deletion of a single room without messages: messages are not deleted from here."""
        if obj is None or Message.objects.filter(room=obj).exists():
            return False
        return super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Room, form: Any, change: bool) -> None:
        """Save the changed fields only, so that concurrent changes of others stay."""
        obj.save(update_fields=form.changed_data if change else None)

    def has_control_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may notify clients."""
        return may_control(request)

    @admin.action(description=_("Send a notice…"), permissions=["control"])
    def send_notice(self, request: HttpRequest, queryset: QuerySet[Room]) -> HttpResponse | None:
        """Show a form for the text, then send it to all clients in the selected rooms."""
        rooms = self.chosen(request, queryset)
        form = bound_if_submitted(NoticeForm, request)
        if not rooms:
            return None
        if not form.is_valid():
            return self.action_page(
                request,
                "send_notice",
                form,
                title=_("Send a notice"),
                question=_("All clients in these rooms will see this:"),
                about=rooms,
            )
        text, level = form.cleaned_data["text"], form.cleaned_data["level"]
        reached = list(takewhile(lambda room: push.room(room).notice(text, level=level), rooms))
        self.note(request, reached, _("Notice (%(level)s): %(text)s") % form.cleaned_data)
        if len(reached) < len(rooms):
            self.message_user(request, str(UNREACHABLE), messages.ERROR)
        done = ngettext("%d room was notified.", "%d rooms were notified.", len(reached))
        self.message_user(request, done % len(reached), messages.SUCCESS)
        return None

    @admin.action(description=_("Make all invitations void…"), permissions=["change"])
    def void_invitations(
        self, request: HttpRequest, queryset: QuerySet[Room]
    ) -> HttpResponse | None:
        """Invalidate the invitations to the selected rooms that are private; others have none."""
        rooms = self.chosen(request, queryset.filter(kind=Room.Kind.PRIVATE))
        if rooms and not bound_if_submitted(ConfirmForm, request).is_valid():
            return self.action_page(
                request,
                "void_invitations",
                ConfirmForm(),
                title=_("Make all invitations void"),
                question=_("Links that were given out will not open these rooms any more:"),
                about=rooms,
            )
        for room in rooms:
            memberships.void_invitations(room, Identity.of(request.user))
        text = ngettext("Done in %d private room.", "Done in %d private rooms.", len(rooms))
        self.message_user(request, text % len(rooms), messages.SUCCESS)
        return None

    @admin.display(description=_("slow mode"))
    def slow(self, room: Room) -> str:
        """Return the seconds between two messages of a user."""
        return f"{room.slow_seconds} s" if room.slow_seconds else "-"

    @admin.display(description=_("position"))
    def position(self, room: Any) -> int:
        """Return the last position of the log."""
        return getattr(room, "position", 0)

    @admin.display(description=_("epoch"))
    def epoch(self, room: Room) -> str:
        """Return the epoch of the log."""
        return room.log.epoch if hasattr(room, "log") else "-"

    @admin.display(description=_("here now"))
    def here(self, room: Any) -> int:
        """Return the number of users in the room now."""
        return int(room.here)

    @admin.display(description="")
    def links(self, room: Room) -> str:
        """Return links to the rows that belong to the room."""
        names = (
            ("connection", _("connected clients")),
            ("message", _("messages")),
            ("membership", _("memberships")),
            ("sanction", _("sanctions")),
        )
        links = [
            format_html(
                '<a href="{}?room={}">{}</a>',
                reverse(f"{self.admin_site.name}:realtime_{name}_changelist"),
                room.pk,
                text,
            )
            for name, text in names
        ]
        return format_html_join(" · ", "{}", ((link,) for link in links))


class MembershipForm(ModelForm):
    """The membership of a user in a room."""

    def clean_room(self) -> Room:
        """Refuse a direct room, which has exactly two members."""
        room: Room = self.cleaned_data["room"]
        if room.kind == Room.Kind.DIRECT:
            raise ValidationError(_("A direct room is for two."))
        return room


@admin.register(Membership)
class MembershipAdmin(LargeAdmin):
    """Memberships with roles; those of direct rooms cannot be added or deleted."""

    form = MembershipForm
    list_display = ("user", "room", "role", "joined_at")
    list_filter = ("role", RoomFilter)
    list_select_related = ("room", "user")
    fields = ("room", "user", "role", "read_seq", "joined_at")
    raw_id_fields = ("room", "user")
    sortable_by = ()

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Return the slug of the room and the username of the user."""
        return "room__slug", f"user__{get_user_model().USERNAME_FIELD}"

    def get_readonly_fields(
        self, request: HttpRequest, obj: Membership | None = None
    ) -> tuple[str, ...]:
        """Return the fields of a membership that do not change."""
        fixed = ("read_seq", "joined_at")
        return fixed if obj is None else ("room", "user", *fixed)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Add memberships of direct rooms to the protected objects.

        They are not refused by permission, because deleting the user or the room deletes them.
        """
        chosen = [one.pk for one in objs]
        kept = Membership.objects.filter(pk__in=chosen, room__kind=Room.Kind.DIRECT)
        names = [f"{one.user} · {one.room}" for one in kept.select_related("room", "user")]
        *found, protected = super().get_deleted_objects(objs, request)
        return *found, [*protected, *names]
