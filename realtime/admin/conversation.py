"""The conversation around a message, as a field of a page."""

from django.db import router
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..models import Message
from .dates import short_date
from .people import named

__all__ = ["conversation"]

AROUND = 10
"""The messages before, and as many after it."""
CHARACTERS = 500


def conversation(message: Message, site: str = "admin") -> SafeString:
    """Return the messages before and after one as a list; it reads them by the index of the room.

    `site` is the name of the admin site.
    """
    around = ((_line(one, message, site),) for one in _around(message))
    lines = format_html_join("", "<li>{}</li>", around)
    url = reverse(f"{site}:realtime_message_changelist")
    more = format_html(
        '<a href="{}?room={}&before=seq:{}">{}</a>',
        url,
        message.room_id,
        message.seq + 1,
        _("earlier messages of the room"),
    )
    return format_html('<ol class="realtime-conversation">{}</ol>{}', lines, more)


def _around(message: Message) -> list[Message]:
    rows = Message.objects.using(router.db_for_write(Message)).filter(room=message.room_id)
    older = rows.filter(seq__lt=message.seq).order_by("-seq")[:AROUND]
    newer = rows.filter(seq__gt=message.seq).order_by("seq")[:AROUND]
    return [*reversed(older), message, *newer]


def _line(one: Message, marked: Message, site: str) -> SafeString:
    text = _("(deleted)") if one.deleted_at is not None else one.content[:CHARACTERS]
    pattern = (
        "{} <b>{}</b>: <mark>{}</mark>"
        if one == marked
        else '<a href="{3}">{0}</a> <b>{1}</b>: {2}'
    )
    return format_html(
        pattern,
        short_date(one.created_at),
        named(one.username, one.sender),
        text,
        reverse(f"{site}:realtime_message_change", args=[one.pk]),
    )
