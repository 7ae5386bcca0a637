"""The admin of traces: start one, watch its lines, stop it."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..models import Trace
from ..operations import tracing
from ..page import page_config
from ..store.traces import TOO_MANY, are_too_many, seconds_left, topic_of
from ..wire.errors import CommandError
from .large import LargeAdmin

__all__ = ["TraceAdmin"]


class TraceForm(forms.ModelForm):  # type: ignore[type-arg]
    """The user or connection to trace."""

    subject = forms.CharField(
        label=_("User or connection"),
        max_length=150,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text=_(
            "The id of a user, a username, the id of a guest (guest:…), or that of a connection."
        ),
    )

    class Meta:
        model = Trace
        fields = ("subject",)

    def clean_subject(self) -> str:
        """Find the user or connection."""
        try:
            subject, self.is_connection = tracing.subject_of(self.cleaned_data["subject"])
        except CommandError as error:
            raise forms.ValidationError(str(error.text)) from None
        return subject

    def clean(self) -> dict[str, Any] | None:
        """Refuse one trace too many."""
        if are_too_many():
            raise forms.ValidationError(str(TOO_MANY))
        return super().clean()


class OnFilter(admin.SimpleListFilter):
    """Filter by whether traces are on."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choices."""
        return [("on", _("on")), ("over", _("over"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Trace]) -> QuerySet[Trace]:
        """Return all traces, or those that are on or over."""
        match self.value():
            case "on":
                return queryset.filter(ends_at__gt=Now())
            case "over":
                return queryset.filter(ends_at__lte=Now())
        return queryset


@admin.register(Trace)
class TraceAdmin(LargeAdmin):
    """Traces and who has started them; the page of one shows its lines as they come."""

    form = TraceForm
    list_display = ("subject", "by", "started_at", "ends_at")
    list_filter = (OnFilter,)
    list_select_related = ("by",)
    search_fields = ("=subject",)
    ordering = ("-pk",)
    sortable_by = ()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may see traces."""
        return tracing.may_watch(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may trace."""
        return tracing.may_trace(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: a trace can only be stopped."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: the list says who has traced whom."""
        return False

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Start a trace by a form; show the list if another one came first."""
        try:
            return super().add_view(request, *args, **kwargs)
        except CommandError as error:
            self.message_user(request, str(error.text), messages.ERROR)
            name = self.admin_site.name
            return redirect(reverse("admin:realtime_trace_changelist", current_app=name))

    def save_model(self, request: HttpRequest, obj: Trace, form: Any, change: bool) -> None:
        """Start the trace."""
        started = tracing.start(obj.subject, is_connection=form.is_connection, by=request.user)
        obj.pk, obj.ends_at = started.pk, started.ends_at

    def response_add(
        self, request: HttpRequest, obj: Trace, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the page of the trace."""
        return redirect(self.page_of(obj))

    def page_of(self, trace: Trace) -> str:
        """Return the address of the page of a trace."""
        name = self.admin_site.name
        return reverse("admin:realtime_trace_change", args=[trace.pk], current_app=name)

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show the lines of a trace; a form stops it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        number = int(object_id) if object_id.isdecimal() and len(object_id) < 19 else 0
        trace = get_object_or_404(self.get_queryset(request).select_related("by"), pk=number)
        may_stop = self.has_add_permission(request)
        if request.method == "POST":
            if not may_stop:
                raise PermissionDenied
            if tracing.stop(trace):
                self.log_change(request, trace, gettext("Stopped."))
            return redirect(self.page_of(trace))
        request.current_app = self.admin_site.name
        seconds = seconds_left(trace.pk)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Trace of %s") % trace.subject,
            "opts": self.opts,
            "trace": trace,
            "is_on": seconds > 0,
            "may_stop": may_stop,
            "config": {
                **page_config(request),
                "topic": topic_of(trace.pk),
                "seconds": seconds,
                "texts": _texts(),
            },
        }
        return TemplateResponse(request, "admin/realtime/trace.html", context)


def _texts() -> dict[str, Any]:
    return {
        "open": gettext("live"),
        "connecting": gettext("connecting…"),
        "over": gettext("The trace is over."),
        "left": gettext("live, ends in %(time)s"),
        "refused": gettext("This page may not be live: %(reason)s"),
        "dropped": gettext("%(number)s earlier lines are not shown any more."),
        "lost": gettext("%(number)s lines were lost on the way; the log of the process has them."),
        "number": gettext("%(events)s events"),
        "request": gettext("request %(request_id)s"),
        "events": _events(),
    }


def _events() -> dict[str, str]:
    """Return what the page writes for each kind of line."""
    return {
        "begin": gettext("begins at %(path)s, encoding %(encoding)s, %(address)s, %(agent)s"),
        "found": gettext(
            "is open for %(seconds)s s: %(subscriptions)s rooms and topics, "
            "%(frames_received)s frames received, %(frames_sent)s sent, %(queued_frames)s waiting"
        ),
        "identified": gettext("is of the user %(user)s, by %(proof)s"),
        "other_user": gettext("is of another user now, and is not traced any more"),
        "received": gettext("received %(type)s, %(bytes)s bytes"),
        "sent": gettext("sent %(type)s, %(bytes)s bytes"),
        "right": gettext("right in %(room)s%(topic)s: %(answer)s"),
        "slow": gettext("reads slowly: %(frames)s frames, %(bytes)s bytes wait"),
        "caught_up": gettext("reads again: no frame waits"),
        "end": gettext("ends: %(reason)s (%(code)s)"),
        "left_out": gettext(
            "left out: %(frames_received)s received frames with %(bytes_received)s bytes, "
            "%(frames_sent)s sent frames with %(bytes_sent)s bytes, %(others)s other lines"
        ),
    }
