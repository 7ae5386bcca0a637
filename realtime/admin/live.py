"""The live page: numbers, processes, clients, rooms and topics as they are now."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from ..counts import BOUNDS
from ..engine.places import PLACES
from ..engine.reporting import CLIENTS, LIVE
from ..models import Connection, Live, Node
from ..operations.live import may_look
from ..page import page_config
from .large import ReadOnlyAdmin

__all__ = ["LiveAdmin"]


@admin.register(Live)
class LiveAdmin(ReadOnlyAdmin):
    """The live page, in the place of a list; its script subscribes to a topic of the package."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the topic of the page admits the user."""
        return may_look(request.user)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("Live"),
            "opts": self.opts,
            "config": self._config(request),
        }
        return TemplateResponse(request, "admin/realtime/live.html", context)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Refuse: there are no rows."""
        raise PermissionDenied

    def _config(self, request: HttpRequest) -> dict[str, Any]:
        actions = self._actions(request)
        name = "admin:realtime_connection_changelist"
        return {
            **page_config(request),
            "topic": LIVE,
            "page": CLIENTS,
            "places": PLACES,
            "bounds": [bound * 1000 for bound in BOUNDS],
            "clients": actions and reverse(name, current_app=self.admin_site.name),
            "actions": actions,
            "nodes": self._node_actions(request),
            "texts": _texts(),
        }

    def _actions(self, request: HttpRequest) -> list[list[str]]:
        """Return the actions of the list of clients that the user may take."""
        model_admin: Any = self.admin_site._registry.get(Connection)
        if model_admin is None or not model_admin.has_view_permission(request):
            return []
        choices = model_admin.get_action_choices(request, default_choices=[])
        return [[name, str(label)] for name, label in choices]

    def _node_actions(self, request: HttpRequest) -> dict[str, str] | None:
        """Return the actions of the list of processes, if the user may take them."""
        model_admin: Any = self.admin_site._registry.get(Node)
        if model_admin is None or not model_admin.has_view_permission(request):
            return None
        if not (choices := dict(model_admin.get_action_choices(request, default_choices=[]))):
            return None
        url = reverse("admin:realtime_node_changelist", current_app=self.admin_site.name)
        return {"url": url, **{name: str(label) for name, label in choices.items()}}


def _texts() -> dict[str, str]:
    return {
        "connections": _("Connections"),
        "messages": _("Messages in / out a second"),
        "deliveries": _("Deliveries a second"),
        "commit": _("Time to commit, ms (p50 / p99)"),
        "waiting": _("Frames that wait for slow clients"),
        "repairs": _("Repaired gaps"),
        "refused": _("Refused handshakes"),
        "slow": _("Slow clients closed"),
        "quarter": _("15 minutes ago"),
        "now": _("now"),
        "most": _("most: %(number)s"),
        "all": _("All processes"),
        "running": _("running"),
        "draining": _("draining"),
        "stopping": _("stopping"),
        "late": _("lease is late"),
        "gone": _("gone"),
        "shown": _("%(shown)s of %(all)s"),
        "none": _("Select at least one client."),
        "many": _("Select at most %(most)s clients."),
        "open": _("live"),
        "connecting": _("connecting…"),
        "refusedHere": _("This page may not be live: %(reason)s"),
        "room": _("room"),
        "topic": _("topic"),
    }
