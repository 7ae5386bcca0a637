"""The admin of server processes."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..models import Node
from ..store.presence import IS_ALIVE
from .large import ReadOnlyAdmin

__all__ = ["NodeAdmin"]


@admin.register(Node)
class NodeAdmin(ReadOnlyAdmin):
    """Processes that serve sockets, and expired ones that were not reaped yet."""

    list_display = ("id", "hostname", "pid", "is_alive", "clients", "started_at", "expires_at")
    fields = ("id", "hostname", "pid", "is_alive", "started_at", "expires_at", "reaper")
    ordering = ("-started_at", "pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Node]:
        """Return nodes with their state by the clock of the database."""
        nodes: QuerySet[Node] = super().get_queryset(request)
        return nodes.annotate(is_alive=IS_ALIVE, clients=Count("connections"))

    @admin.display(description=_("alive"), boolean=True)
    def is_alive(self, node: Any) -> bool:
        """Return whether the lease is valid."""
        return bool(node.is_alive)

    @admin.display(description=_("connected clients"))
    def clients(self, node: Any) -> int:
        """Return the number of stored connections of the process."""
        return int(node.clients)
