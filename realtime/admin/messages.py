"""What was said: to read and to find, not to write."""

from django.contrib import admin
from django.http import HttpRequest
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from ..models import Message
from .large import ReadOnlyAdmin, RoomFilter

__all__ = ["MessageAdmin"]


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    """Messages, newest first; nobody adds, changes or deletes one here."""

    list_display = ("excerpt", "username", "room", "seq", "created_at")
    list_filter = ("created_at", RoomFilter)
    list_select_related = ("room",)
    search_fields = ("content", "username", "=sender")
    fields = (
        "room",
        "seq",
        "changed_seq",
        "sender",
        "username",
        "content",
        "data",
        "created_at",
        "edited_at",
        "deleted_at",
    )

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """By the index that serves the list: a room's own where one is chosen."""
        return ("-seq",) if RoomFilter.parameter_name in request.GET else ("-pk",)

    @admin.display(description=_("content"))
    def excerpt(self, message: Message) -> str:
        """The beginning of the text."""
        if message.deleted_at is not None:
            return str(_("(deleted)"))
        return Truncator(message.content).chars(80) or "-"
