"""The admin of server processes: let them move their clients to others, and serve again."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..models import Node
from ..operations import draining
from ..store.presence import IS_ALIVE
from .confirmation import ConfirmationAdmin, ConfirmForm, bound_if_submitted

__all__ = ["NodeAdmin"]

OTHERS_SERVE, NONE_SERVES = (
    _("They accept no new clients, and their clients go to the other processes:"),
    _("No other process serves, so all clients wait until one of these serves again:"),
)


class DrainForm(forms.Form):
    """The time in which the clients of a process are moved."""

    seconds = forms.IntegerField(
        label=_("Over seconds"),
        min_value=0,
        max_value=draining.MOST_SECONDS,
        initial=draining.SECONDS,
        help_text=_("The connections are closed at an even pace, and reconnect at once."),
    )


@admin.register(Node)
class NodeAdmin(ConfirmationAdmin):
    """Processes that serve sockets, and expired ones that were not reaped yet."""

    list_display = ("id", "hostname", "pid", "is_alive", "drains", "clients", "started_at")
    fields = ("id", "hostname", "pid", "is_alive", "drains", "started_at", "expires_at", "reaper")
    ordering = ("-started_at", "pk")
    actions = ("drain", "serve")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Node]:
        """Return nodes with their state by the clock of the database."""
        nodes: QuerySet[Node] = super().get_queryset(request)
        return nodes.annotate(is_alive=IS_ALIVE, clients=Count("connections"))

    def has_drain_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may let processes drain, and serve again."""
        return request.user.has_perm("realtime.change_node")

    @admin.action(description=_("Drain…"), permissions=["drain"])
    def drain(self, request: HttpRequest, queryset: QuerySet[Node]) -> HttpResponse | None:
        """Let processes refuse new clients, and move those that they have."""
        nodes = self._living(request, queryset)
        form = bound_if_submitted(DrainForm, request)
        if not nodes:
            return None
        if not form.is_valid():
            others = queryset.model.objects.annotate(is_alive=IS_ALIVE).filter(is_alive=True)
            others = others.filter(drain_seconds=None).exclude(pk__in=[one.pk for one in nodes])
            question = OTHERS_SERVE if others.exists() else NONE_SERVES
            return self.action_page(
                request, "drain", form, title=_("Drain"), question=question, about=nodes
            )
        seconds = form.cleaned_data["seconds"]
        found = draining.drain([one.pk for one in nodes], seconds=seconds, by=request.user)
        text = ngettext("%d process drains.", "%d processes drain.", len(found))
        self.message_user(request, text % len(found), messages.SUCCESS)
        return None

    @admin.action(description=_("Serve again…"), permissions=["drain"])
    def serve(self, request: HttpRequest, queryset: QuerySet[Node]) -> HttpResponse | None:
        """Let processes that drain accept clients again."""
        nodes = self._living(request, queryset.exclude(drain_seconds=None))
        if nodes and not bound_if_submitted(ConfirmForm, request).is_valid():
            question = _("These processes accept clients again:")
            return self.action_page(
                request,
                "serve",
                ConfirmForm(),
                title=_("Serve again"),
                question=question,
                about=nodes,
            )
        found = draining.serve([one.pk for one in nodes], by=request.user)
        text = ngettext("%d process serves again.", "%d processes serve again.", len(found))
        self.message_user(request, text % len(found), messages.SUCCESS)
        return None

    @admin.display(description=_("alive"), boolean=True)
    def is_alive(self, node: Any) -> bool:
        """Return whether the lease is valid."""
        return bool(node.is_alive)

    @admin.display(description=_("drains"))
    def drains(self, node: Node) -> str:
        """Return over how many seconds the process moves its clients to others, if it does."""
        return "-" if node.drain_seconds is None else str(_("over %d s") % node.drain_seconds)

    @admin.display(description=_("connected clients"))
    def clients(self, node: Any) -> int:
        """Return the number of stored connections of the process."""
        return int(node.clients)

    def _living(self, request: HttpRequest, nodes: QuerySet[Node]) -> list[Node]:
        chosen = self.chosen(request, nodes)
        found = [one for one in chosen if one.is_alive]
        if len(found) < len(chosen):
            text = str(_("Processes that have ended are left out."))
            self.message_user(request, text, messages.WARNING)
        return found
