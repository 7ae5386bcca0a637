"""The admin of reports: delete the message, sanction its sender, or dismiss."""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from .. import moderation
from ..models import Message, Report, Room
from ..store.accounts.identity import SITE, Identity
from ..store.moderation.actions import dismiss, resolve
from .confirmation import ConfirmForm, bound_if_submitted
from .conversation import conversation
from .large import RoomFilter
from .messages import ErasingAdmin, excerpt, readable
from .people import named
from .sanction_actions import SanctionActionsAdmin, SanctionForm

__all__ = ["ReportAdmin"]

OTHERS_SHOWN = 20


class OpenFilter(admin.SimpleListFilter):
    """Filter by state; by default only open reports."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choices besides open reports."""
        return [("closed", _("dealt with")), ("all", _("all"))]

    def choices(self, changelist: Any) -> Any:
        """Replace Django's "All" by open reports."""
        first, *others = super().choices(changelist)
        yield {**first, "display": _("open")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Report]) -> QuerySet[Report]:
        """Return the reports of the selected state."""
        match self.value():
            case "all":
                return queryset
            case "closed":
                return queryset.exclude(resolved_at=None)
        # One row for each message: the first open report represents the others.
        earlier = Report.objects.filter(
            message=OuterRef("message"), resolved_at=None, pk__lt=OuterRef("pk")
        )
        return queryset.filter(~Exists(earlier), resolved_at=None)


class ReportRoomFilter(RoomFilter):
    """Filter by the room of the message."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the reports of messages in the selected room."""
        chosen = self.chosen()
        return queryset if chosen is None else queryset.filter(Q(message__room=chosen))


@admin.register(Report)
class ReportAdmin(SanctionActionsAdmin, ErasingAdmin):
    """Reports, open ones first; each action closes them.

    Open reports of the same message are one row, and are closed together.
    """

    list_display = ("text", "room", "sender", "number", "reported_by", "reason", "age")
    list_filter = (OpenFilter, ReportRoomFilter)
    list_select_related = ("message__room",)
    search_fields = ("username", "=reporter", "message__username", "=message__sender", "reason")
    fields = (
        "message",
        "room",
        "sender",
        "reported_by",
        "reporter",
        "reason",
        "others",
        "created_at",
        "resolved_at",
        "resolved_by",
    )
    ordering = (F("resolved_at").desc(nulls_first=True), "-pk")
    actions = ("delete_message", "ban_sender", "mute_sender", "dismiss")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        """Return reports with the number of open ones of the same message."""
        same = Report.objects.filter(message=OuterRef("message"), resolved_at=None)
        number = same.order_by().values("message").annotate(n=Count("pk")).values("n")
        rows: QuerySet[Report] = super().get_queryset(request)
        return rows.annotate(number=Subquery(number, output_field=IntegerField()))

    def get_fields(self, request: HttpRequest, obj: Report | None = None) -> tuple[str, ...]:
        """Add the conversation, if the user may read the room; the report discloses one message."""
        may_read = request.user.has_perm("realtime.view_message") and obj is not None
        rows = Message.objects.filter(pk=obj.message_id) if obj is not None and may_read else None
        if rows is None or not readable(request, rows).exists():
            return self.fields
        return (*self.fields[:3], "conversation", *self.fields[3:])

    def has_dismiss_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may close reports without another action."""
        return request.user.has_perm("realtime.change_report")

    @admin.action(description=_("Delete the message…"), permissions=["erase"])
    def delete_message(
        self, request: HttpRequest, queryset: QuerySet[Report]
    ) -> HttpResponse | None:
        """Delete the text and data of the message."""
        found = [one.message for one in self._chosen(request, queryset)]
        rows = Message.objects.filter(pk__in=[one.pk for one in found])
        if not found:
            return None
        page = self.erase(request, "delete_message", rows)
        if page is None:
            self._close(request, found)
        return page

    @admin.action(description=_("Ban the sender from the room…"), permissions=["sanction"])
    def ban_sender(self, request: HttpRequest, queryset: QuerySet[Report]) -> HttpResponse | None:
        """Ban the sender from the room."""
        title = _("Ban the sender from the room")
        return self._sanction_senders(request, queryset, "ban_sender", moderation.ban, title)

    @admin.action(description=_("Mute the sender in the room…"), permissions=["sanction"])
    def mute_sender(self, request: HttpRequest, queryset: QuerySet[Report]) -> HttpResponse | None:
        """Mute the sender in the room."""
        title = _("Mute the sender in the room")
        return self._sanction_senders(request, queryset, "mute_sender", moderation.mute, title)

    @admin.action(description=_("Dismiss…"), permissions=["dismiss"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[Report]) -> HttpResponse | None:
        """Close the reports without another action."""
        reports = self._chosen(request, queryset)
        if not reports:
            return None
        if not bound_if_submitted(ConfirmForm, request).is_valid():
            return self.action_page(
                request,
                "dismiss",
                ConfirmForm(),
                title=_("Dismiss"),
                question=_("The messages stay, and these reports of them are closed for good:"),
                about=[f"{one.username}: {excerpt(one.message)}" for one in reports],
            )
        number = dismiss(reports, Identity.of(request.user))
        text = ngettext("%d report was dismissed.", "%d reports were dismissed.", number)
        self.message_user(request, text % number, messages.SUCCESS)
        return None

    @admin.display(description=_("message"))
    def text(self, report: Report) -> str:
        """Return the beginning of the message."""
        return excerpt(report.message)

    @admin.display(description=_("room"))
    def room(self, report: Report) -> Room:
        """Return the room of the message."""
        return report.message.room

    @admin.display(description=_("conversation"))
    def conversation(self, report: Report) -> SafeString:
        """Return the messages around the reported one."""
        return conversation(report.message, self.admin_site.name)

    @admin.display(description=_("sender"))
    def sender(self, report: Report) -> str:
        """Return the name of the sender."""
        return named(report.message.username, report.message.sender)

    @admin.display(description=_("reporter"))
    def reported_by(self, report: Report) -> str:
        """Return the name of the reporter."""
        return named(report.username, report.reporter)

    @admin.display(description=_("open reports"))
    def number(self, report: Any) -> int:
        """Return the number of open reports about the message."""
        return report.number or 0

    @admin.display(description=_("other reports of the message"))
    def others(self, report: Report) -> str:
        """Return the reporters and reasons of the other reports."""
        rows = Report.objects.filter(message=report.message_id).exclude(pk=report.pk)
        lines = [f"{one.username}: {one.reason}" for one in rows.order_by("-pk")[:OTHERS_SHOWN]]
        return "\n".join(lines) or "-"

    @admin.display(description=_("age"))
    def age(self, report: Report) -> str:
        """Return the age of the report."""
        return timesince(report.created_at, depth=1)

    def _chosen(self, request: HttpRequest, queryset: QuerySet[Report]) -> list[Report]:
        return self.chosen(request, queryset.select_related("message__room"))

    def _sanction_senders(
        self,
        request: HttpRequest,
        queryset: QuerySet[Report],
        action: str,
        act: Callable[..., Any],
        title: Any,
    ) -> HttpResponse | None:
        reported = [one.message for one in self._chosen(request, queryset)]
        found = [one for one in reported if not one.sender.startswith(SITE)]
        form = bound_if_submitted(SanctionForm, request)
        targets = {
            (one.room, one.sender): f"{named(one.username, one.sender)} · {one.room}"
            for one in found
        }
        if not targets:
            if reported:
                text = str(_("These messages were sent by the site itself."))
                self.message_user(request, text, messages.WARNING)
            return None
        if not form.is_valid():
            question = _("The users and rooms:")
            about = list(targets.values())
            return self.action_page(
                request, action, form, title=title, question=question, about=about
            )
        number = self.sanction(request, act, targets, form)
        self._close(request, found)
        text = ngettext("Done to %d sender.", "Done to %d senders.", number) % number
        self.message_user(request, text, messages.SUCCESS)
        return None

    def _close(self, request: HttpRequest, found: Iterable[Message]) -> None:
        resolve([one.pk for one in found], Identity.of(request.user))
