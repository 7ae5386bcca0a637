"""Bounded scans of messages: a page of the list reads at most `ROWS` rows to filter and search.

A text has no index, so a search reads the rows one by one. It reads those of one window, which an
index finds: the newest messages of the site, of a room, of a user or of a period. A link leads to
the window before it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db import router
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from ..models import Message
from ..store.accounts.users import pk_of
from .dates import dates_of, moment_of

__all__ = ["ROWS", "SenderFilter", "WindowFilter"]

ROWS = 10_000


class SenderFilter(admin.SimpleListFilter):
    """Filter by a sender, whom the links of the list and of a message name."""

    title = _("sender")
    parameter_name = "sender"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the selected sender: nobody chooses among all users."""
        chosen = self.value()
        return [] if chosen is None else [(chosen, chosen)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Return the messages of the sender."""
        chosen = self.value()
        if chosen is None:
            return queryset
        if "\0" in chosen:
            raise IncorrectLookupParameters
        return queryset.filter(sender=chosen)


class Scan(NamedTuple):
    """Rows in the order of an index."""

    conditions: dict[str, Any]
    column: str

    def rows(self) -> QuerySet[Message]:
        """Return the rows, which an index finds by the conditions."""
        messages: QuerySet[Message] = Message.objects.using(router.db_for_write(Message))
        return messages.filter(**self.conditions)

    def oldest(self) -> list[Any]:
        """Return the last value of the window and the one after it, as far as there are such."""
        values = self.rows().order_by(f"-{self.column}").values_list(self.column, flat=True)
        return list(values[ROWS - 1 : ROWS + 1])

    def parsed(self, text: str) -> Any:
        """Return the value that a link names; None if it is one of another column."""
        column, _separator, value = text.partition(":")
        if column != self.column:
            return None
        try:
            return moment_of(value) if column == "created_at" else int(value)
        except ValueError as error:
            raise IncorrectLookupParameters from error


class WindowFilter(admin.SimpleListFilter):
    """Restrict the list to one window of messages; the last filter, because it reads the others."""

    title = _("age")
    parameter_name = "before"
    next_value: str | None = None

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return a placeholder, so that the filter is shown."""
        return [("", "")]

    def choices(self, changelist: Any) -> Any:
        """Yield the newest window, and the one before this."""
        is_all = self.next_value is None and self.value() is None
        newest = format_lazy(_("the newest {number}"), number=f"{ROWS:,}")
        yield {
            "selected": self.value() is None,
            "query_string": changelist.get_query_string(remove=[self.parameter_name]),
            "display": _("all") if is_all else newest,
        }
        if self.next_value is not None:
            yield {
                "selected": False,
                "query_string": changelist.get_query_string({self.parameter_name: self.next_value}),
                "display": format_lazy(_("the {number} before these"), number=f"{ROWS:,}"),
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Return the rows of the window."""
        scan = _scan_of(request)
        before = scan.parsed(self.value() or "")
        if before is not None:
            older = {**scan.conditions, f"{scan.column}__lt": before}
            scan = scan._replace(conditions=older)
        queryset, oldest = queryset.filter(**scan.conditions), scan.oldest()
        if len(oldest) < 2:
            return queryset
        value = oldest[0].isoformat() if isinstance(oldest[0], datetime) else oldest[0]
        self.next_value = f"{scan.column}:{value}"
        return queryset.filter(**{f"{scan.column}__gte": oldest[0]})


def _scan_of(request: HttpRequest) -> Scan:
    """Return the first scan that finds few rows, and so all of them, else the last one."""
    scans = list(_scans(request))
    for scan in scans[1:]:
        if scan.rows().order_by()[: ROWS + 1].count() <= ROWS:
            return scan
    return scans[-1]


def _scans(request: HttpRequest) -> Iterator[Scan]:
    """Yield the scans by which an index finds the selected rows; the last ones read best in parts.

    Imported messages have older dates than those before them, so a period is a scan of its own.
    """
    room, sender = (request.GET.get(name) for name in ("room", SenderFilter.parameter_name))
    yield Scan({}, "pk")
    if sender and (user_pk := pk_of(sender)) is not None:
        of_user = Scan({"user_id": user_pk}, "pk")
        if of_user.rows().exists():  # the account was not deleted
            yield of_user
    if room:
        yield Scan({"room_id": int(room)}, "seq")
    if room and sender:
        yield Scan({"room_id": int(room), "sender": sender}, "seq")
    if dates := dates_of(request):
        yield Scan({**dates}, "created_at")
