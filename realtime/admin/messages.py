"""The admin of messages: read, search, and delete the text."""

import time
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db.models import Count, Max, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..models import Message, Room
from ..store.accounts.identity import Identity
from ..store.moderation import bulk
from ..wire.body import BODY_FIELDS
from .confirmation import NAMED, ConfirmationAdmin, ConfirmForm, bound_if_submitted
from .conversation import conversation
from .dates import PeriodFilter, dates_of
from .large import RoomFilter
from .people import named
from .windows import SenderFilter, WindowFilter

__all__ = ["ErasingAdmin", "MessageAdmin", "excerpt", "readable"]

SECONDS = 1.0
"""For so long a request deletes texts; the page then goes on with another one."""


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
        self, request: HttpRequest, action: str, rows: QuerySet[Message]
    ) -> HttpResponse | None:
        """Show a confirmation, then delete the texts, and a page between parts of a long work.

        Messages that come after the confirmation are not deleted.
        """
        if not bound_if_submitted(ConfirmForm, request).is_valid():
            existing = rows.filter(deleted_at=None)
            return self._confirm(request, action, existing) if existing.exists() else None
        through, done, total = (_number(request, name) for name in ("through", "done", "total"))
        through = through or rows.order_by().aggregate(newest=Max("pk"))["newest"] or 0
        left = rows.filter(deleted_at=None, pk__lte=through)
        done += _delete(left, request)
        if left.exists():
            return self._continue(request, action, through, (done, max(total, done)))
        text = ngettext("%d message was deleted.", "%d messages were deleted.", done)
        self.message_user(request, text % done, messages.SUCCESS)
        return None

    def _confirm(self, request: HttpRequest, action: str, rows: QuerySet[Message]) -> HttpResponse:
        first = rows.select_related("room")[:NAMED]
        newest, number = rows.order_by().aggregate(Max("pk"), Count("pk")).values()
        return self.action_page(
            request,
            action,
            ConfirmForm(),
            title=_("Delete the text"),
            question=_("The text of these messages will be deleted for good, everywhere:"),
            about=[f"{named(one.username, one.sender)}: {excerpt(one)}" for one in first],
            number=number,
            kept={"through": newest, "total": number},
        )

    def _continue(
        self, request: HttpRequest, action: str, through: int, progress: tuple[int, int]
    ) -> HttpResponse:
        done, total = progress
        question = _("%(done)d of %(total)d messages were deleted.")
        return self.action_page(
            request,
            action,
            ConfirmForm(),
            title=_("Delete the text"),
            question=question % {"done": done, "total": total},
            kept={"through": through, "done": done, "total": total},
            progress=progress,
        )


def _delete(rows: QuerySet[Message], request: HttpRequest) -> int:
    """Delete the texts of rows for about `SECONDS`, at least one batch; return how many."""
    number, by, end = 0, Identity.of(request.user), time.monotonic() + SECONDS
    keys = rows.order_by("pk").values_list("pk", flat=True)
    while batch := list(keys[: bulk.BATCH]):
        number += bulk.delete_texts(batch, by)
        if time.monotonic() >= end:
            break
    return number


def _number(request: HttpRequest, name: str) -> int:
    text = request.POST.get(name, "")
    return int(text) if text.isdecimal() and len(text) <= 18 else 0


@admin.register(Message)
class MessageAdmin(ErasingAdmin):
    """Messages, newest first; they are not added, changed or deleted here."""

    list_display = ("excerpt", "by", "room", "seq", "created_at")
    list_filter = (("created_at", PeriodFilter), RoomFilter, SenderFilter, WindowFilter)
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
        "conversation",
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
        """Order as the index does that finds the rows."""
        if dates_of(request):
            return ("-created_at", "-pk")
        return ("-seq",) if RoomFilter.parameter_name in request.GET else ("-pk",)

    @admin.display(description=_("content"))
    def excerpt(self, message: Message) -> str:
        """Return the beginning of the text."""
        return excerpt(message)

    @admin.display(description=_("name"))
    def by(self, message: Message) -> SafeString:
        """Return the name of the sender, with a mark for guests, and a link to all messages."""
        name, query = named(message.username, message.sender), urlencode({"sender": message.sender})
        return format_html('<a href="?{}">{}</a>', query, name)

    @admin.display(description=_("conversation"))
    def conversation(self, message: Message) -> SafeString:
        """Return the messages around this one."""
        return conversation(message, self.admin_site.name)

    @admin.action(description=_("Delete the text…"), permissions=["erase"])
    def delete_text(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        """Delete text and data; a tombstone keeps the position."""
        return self.erase(request, "delete_text", queryset)
