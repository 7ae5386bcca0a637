"""The admin of messages: read, search, and delete the text."""

from collections.abc import Iterable

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from .. import moderation
from ..models import Message, Room
from ..wire.body import BODY_FIELDS
from .confirmation import ConfirmationAdmin, ConfirmForm, bound_if_submitted
from .large import RoomFilter
from .people import named

__all__ = ["ErasingAdmin", "MessageAdmin", "excerpt", "readable"]


def excerpt(message: Message) -> str:
    """Return the beginning of the text."""
    if message.deleted_at is not None:
        return str(_("(deleted)"))
    return Truncator(message.content).chars(80) or "-"


def readable(request: HttpRequest, rows: QuerySet[Message]) -> QuerySet[Message]:
    """Exclude the messages of rooms that the user of the request may not read."""
    user = request.user
    if not user.has_perm("realtime.view_direct_message"):
        rows = rows.exclude(room__kind=Room.Kind.DIRECT)
    if not user.has_perm("realtime.moderate_room"):
        rows = rows.exclude(room__kind=Room.Kind.PRIVATE)
    return rows


class ErasingAdmin(ConfirmationAdmin):
    """A list with an action that deletes the text of messages; the rows stay."""

    def has_erase_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may delete the text of messages."""
        return request.user.has_perm("realtime.delete_message")

    def erase(
        self, request: HttpRequest, action: str, found: Iterable[Message]
    ) -> HttpResponse | None:
        """Show a confirmation, then delete the texts."""
        existing = [one for one in dict.fromkeys(found) if one.deleted_at is None]
        if existing and not bound_if_submitted(ConfirmForm, request).is_valid():
            return self.action_page(
                request,
                action,
                ConfirmForm(),
                title=_("Delete the text"),
                question=_("The text of these messages will be deleted for good, everywhere:"),
                about=[f"{named(one.username, one.sender)}: {excerpt(one)}" for one in existing],
            )
        for message in existing:
            moderation.delete(message, by=request.user)
        number = len(existing)
        text = ngettext("%d message was deleted.", "%d messages were deleted.", number)
        self.message_user(request, text % number, messages.SUCCESS)
        return None


@admin.register(Message)
class MessageAdmin(ErasingAdmin):
    """Messages, newest first; they are not added, changed or deleted here."""

    list_display = ("excerpt", "by", "room", "seq", "created_at")
    list_filter = ("created_at", RoomFilter)
    list_select_related = ("room",)
    search_fields = ("content", "username", "=sender")
    fields = (
        "room",
        "seq",
        "changed_seq",
        "sender",
        "username",
        *BODY_FIELDS,
        "created_at",
        "edited_at",
        "deleted_at",
    )
    actions = ("delete_text",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        """Return messages of rooms that the user may read, for all views, searches and actions.

        Direct rooms require a permission of their own; private rooms that to moderate all rooms,
        which also opens them in the chat.
        """
        rows: QuerySet[Message] = super().get_queryset(request)
        return readable(request, rows)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Order by an index: by that of the room if one is selected."""
        return ("-seq",) if RoomFilter.parameter_name in request.GET else ("-pk",)

    @admin.display(description=_("content"))
    def excerpt(self, message: Message) -> str:
        """Return the beginning of the text."""
        return excerpt(message)

    @admin.display(description=_("name"))
    def by(self, message: Message) -> str:
        """Return the name of the sender, with a mark for guests."""
        return named(message.username, message.sender)

    @admin.action(description=_("Delete the text…"), permissions=["erase"])
    def delete_text(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        """Delete text and data; a tombstone keeps the position."""
        rows = self.chosen(request, queryset)
        return self.erase(request, "delete_text", rows) if rows else None
