"""The admin action that traces the selected clients."""

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..models import Connection, Trace
from ..operations import tracing
from ..wire.errors import CommandError
from .confirmation import ConfirmationAdmin, bound_if_submitted

__all__ = ["TraceActionAdmin"]


class TraceActionForm(forms.Form):
    """The choice between the selected connections and all connections of their users."""

    what = forms.ChoiceField(
        label=_("Trace"),
        choices=[
            ("connection", _("only these connections")),
            ("user", _("all connections of their users, also later ones")),
        ],
    )


class TraceActionAdmin(ConfirmationAdmin):
    """A list of connections with an action to trace them."""

    def has_trace_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may trace, and this site has the pages of traces."""
        return Trace in self.admin_site._registry and tracing.may_trace(request.user)

    @admin.action(description=_("Trace…"), permissions=["trace"])
    def trace(self, request: HttpRequest, queryset: QuerySet[Connection]) -> HttpResponse | None:
        """Trace the selected connections or their users, and show the page of the trace."""
        rows = self.chosen(request, queryset)
        form = bound_if_submitted(TraceActionForm, request)
        if rows and not form.is_valid():
            return self.action_page(
                request,
                "trace",
                form,
                title=_("Trace"),
                question=_("A trace shows what a client does, but no contents, for ten minutes."),
                about=[f"{one.user_key} ({one.pk})" for one in rows],
            )
        is_connection = form.is_valid() and form.cleaned_data["what"] == "connection"
        subjects = dict.fromkeys(one.pk if is_connection else one.user_key for one in rows)
        traces: list[Trace] = []
        try:
            for one in subjects:
                traces.append(tracing.start(one, is_connection=is_connection, by=request.user))
        except CommandError as error:  # those before it are on
            self.message_user(request, str(error.text), messages.ERROR)
        self.note(request, traces, gettext("Started."))
        return redirect(self._page_of(traces)) if traces else None

    def _page_of(self, traces: list[Trace]) -> str:
        name = self.admin_site.name
        if len(traces) > 1:
            return reverse("admin:realtime_trace_changelist", current_app=name) + "?state=on"
        return reverse("admin:realtime_trace_change", args=[traces[0].pk], current_app=name)
