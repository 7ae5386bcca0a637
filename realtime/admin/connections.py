"""The admin of open connections: disconnect and notify clients, sanction users."""

from collections.abc import Callable
from functools import partial
from itertools import takewhile
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from .. import moderation, push
from ..auth import guests
from ..models import Connection, Node, Presence, Room
from ..store.accounts.identity import GUEST
from ..store.rooms.moving import Moves
from .confirmation import ConfirmForm, bound_if_submitted
from .large import RoomFilter
from .moving import MoveForm
from .notices import UNREACHABLE, ClientNoticeForm, may_control
from .people import named
from .sanction_actions import KickForm, RoomForm, RoomSanctionForm, SanctionActionsAdmin
from .trace_action import TraceActionAdmin

__all__ = ["ConnectionAdmin"]

ROOMS_SHOWN = 5


class AliveFilter(admin.SimpleListFilter):
    """Filter by the state of the node; by default only connections of live nodes."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choices besides live connections."""
        return [("lost", _("lost")), ("all", _("all"))]

    def choices(self, changelist: Any) -> Any:
        """Replace Django's "All" by live connections."""
        first, *others = super().choices(changelist)
        yield {**first, "display": _("live")}
        yield from others

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Connection]
    ) -> QuerySet[Connection]:
        """Return live, lost or all connections."""
        is_alive = Q(node__reaper="", node__expires_at__gt=Now())
        if self.value() == "all":
            return queryset
        return queryset.exclude(is_alive) if self.value() == "lost" else queryset.filter(is_alive)


class HereFilter(RoomFilter):
    """Filter by a room; direct rooms only for staff who may read them."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the first rooms, and the selected one."""
        rooms = visible(request, Room.objects.order_by("slug"))
        shown = [*rooms[: self.shown], *rooms.filter(pk=self.chosen() or 0)]
        return [(str(room.pk), str(room)) for room in dict.fromkeys(shown)]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Connection]
    ) -> QuerySet[Connection]:
        """Return the clients in the selected room."""
        if (chosen := self.chosen()) is None:
            return queryset
        rooms = visible(request, Room.objects.filter(pk=chosen))
        return queryset.filter(pk__in=Presence.objects.filter(room__in=rooms).values("connection"))


def visible(request: HttpRequest, rooms: QuerySet[Room]) -> QuerySet[Room]:
    """Exclude direct rooms if the user of the request may not read them."""
    if request.user.has_perm("realtime.view_direct_message"):
        return rooms
    return rooms.exclude(kind=Room.Kind.DIRECT)


@admin.register(Connection)
class ConnectionAdmin(SanctionActionsAdmin, TraceActionAdmin):
    """Open connections. Disconnecting or notifying clients requires the permission to change them.

    Actions against users require the permission to add sanctions.
    """

    list_display = ("name", "user", "rooms", "process", "address", "connected_at")
    list_filter = (AliveFilter, "connected_at", HereFilter)
    list_select_related = ("user", "node")
    search_fields = ("username", "=user_key", "=address", "=id")
    fields = ("id", "username", "user_key", "user", "rooms", "node", "address", "connected_at")
    ordering = ("-connected_at", "pk")
    actions = ("disconnect", "send_notice", "move", "kick", "ban", "mute", "revoke", "trace")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        """Return connections with their rooms."""
        rows: QuerySet[Connection] = super().get_queryset(request)
        presences = Presence.objects.filter(topic=None).select_related("room").order_by("pk")
        if not request.user.has_perm("realtime.view_direct_message"):
            presences = presences.exclude(room__kind=Room.Kind.DIRECT)
        return rows.prefetch_related(Prefetch("presences", presences))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow the deletion with a user; connections are not deleted by themselves."""
        return obj is not None

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Refuse, because deleting the row would not close the connection."""
        raise PermissionDenied

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the fields without a button to delete."""
        context = {**(extra_context or {}), "show_delete": False}
        return super().change_view(request, object_id, form_url, context)

    def has_control_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may disconnect and notify clients."""
        return may_control(request)

    def has_move_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may move others: into private rooms too, so moderates all."""
        return request.user.has_perm("realtime.moderate_room")

    @admin.display(description=_("name"), ordering="username")
    def name(self, connection: Connection) -> str:
        """Return the name that others see, with a mark for guests."""
        return named(connection.username, connection.user_key)

    @admin.display(description=_("node"), ordering="node")
    def process(self, connection: Connection) -> str:
        """Return the server process in short."""
        return f"{connection.node.hostname}:{connection.node.pid}"

    @admin.display(description=_("rooms"))
    def rooms(self, connection: Connection) -> str:
        """Return the names of the rooms of the connection."""
        names = [str(presence.room) for presence in connection.presences.all()]
        more = len(names) - ROOMS_SHOWN
        return ", ".join(names[:ROOMS_SHOWN]) + (f" +{more}" if more > 0 else "") or "-"

    @admin.action(description=_("Disconnect…"), permissions=["control"])
    def disconnect(
        self, request: HttpRequest, queryset: QuerySet[Connection]
    ) -> HttpResponse | None:
        """Close the selected connections; their clients do not reconnect."""
        if not bound_if_submitted(ConfirmForm, request).is_valid():
            number = queryset.order_by().count()
            question = ngettext(
                "One client will be disconnected, and does not come back by itself.",
                "%(number)d clients will be disconnected, and do not come back by themselves.",
                number,
            )
            return self.action_page(
                request,
                "disconnect",
                ConfirmForm(),
                title=_("Disconnect"),
                question=question % {"number": number},
            )
        number = self._send(
            request,
            queryset,
            lambda target: target.disconnect(),
            str(_("Disconnected.")),
        )
        text = ngettext("%d client was disconnected.", "%d clients were disconnected.", number)
        self._report(request, text, number)
        return None

    @admin.action(description=_("Send a notice…"), permissions=["control"])
    def send_notice(
        self, request: HttpRequest, queryset: QuerySet[Connection]
    ) -> HttpResponse | None:
        """Show a form for the text, then send it to the selected clients."""
        form = bound_if_submitted(ClientNoticeForm, request)
        if not form.is_valid():
            number = queryset.count()
            question = ngettext(
                "One client will see this.", "%(number)d clients will see this.", number
            )
            return self.action_page(
                request,
                "send_notice",
                form,
                title=_("Send a notice"),
                question=question % {"number": number},
            )
        text, level = form.cleaned_data["text"], form.cleaned_data["level"]
        if form.cleaned_data["is_for_all"]:
            self._notice_all(request, text, level)
            return None
        number = self._send(
            request,
            queryset,
            lambda target: target.notice(text, level=level),
            str(_("Notice (%(level)s): %(text)s") % {"level": level, "text": text}),
        )
        text = ngettext("%d client was notified.", "%d clients were notified.", number)
        self._report(request, text, number)
        return None

    @admin.action(description=_("Move to another room…"), permissions=["move"])
    def move(self, request: HttpRequest, queryset: QuerySet[Connection]) -> HttpResponse | None:
        """Move the users from a room to another one, with all their clients there."""
        people, here = self._people(request, queryset), request.GET.get("room")
        form = bound_if_submitted(partial(MoveForm, initial={"room": here}), request)
        if not people:
            return None
        if not form.is_valid():
            return self.action_page(
                request,
                "move",
                form,
                title=_("Move to another room"),
                question=_("The users:"),
                about=list(people.values()),
            )
        found = moderation.move(users=people, by=request.user, **form.cleaned_data)
        self._report_moves(request, found)
        return None

    def _report_moves(self, request: HttpRequest, found: Moves) -> None:
        done = ngettext("%d person was moved.", "%d people were moved.", len(found.moved))
        self._report(request, done, len(found.moved))
        refused = ngettext(
            "%d person may not enter that room, and stays.",
            "%d people may not enter that room, and stay.",
            len(found.refused),
        )
        absent = ngettext(
            "%d person is not in the room.", "%d people are not in the room.", len(found.absent)
        )
        for text, users in ((refused, found.refused), (absent, found.absent)):
            if users:
                self.message_user(request, text % len(users), messages.WARNING)

    @admin.action(description=_("Kick…"), permissions=["sanction"])
    def kick(self, request: HttpRequest, queryset: QuerySet[Connection]) -> HttpResponse | None:
        """Remove the users from a room or the site for `KICK_SECONDS`."""
        return self._sanction(request, queryset, moderation.kick, KickForm, _("Kick"))

    @admin.action(description=_("Ban…"), permissions=["sanction"])
    def ban(self, request: HttpRequest, queryset: QuerySet[Connection]) -> HttpResponse | None:
        """Ban the users from a room or the site."""
        return self._sanction(request, queryset, moderation.ban, RoomSanctionForm, _("Ban"))

    @admin.action(description=_("Mute…"), permissions=["sanction"])
    def mute(self, request: HttpRequest, queryset: QuerySet[Connection]) -> HttpResponse | None:
        """Mute the users in a room or on the whole site."""
        return self._sanction(request, queryset, moderation.mute, RoomSanctionForm, _("Mute"))

    @admin.action(description=_("Revoke guests…"), permissions=["sanction"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Connection]) -> HttpResponse | None:
        """Revoke all tokens of the selected guests, and close their connections."""
        rows = self.chosen(request, queryset.filter(user_key__startswith=GUEST))
        chosen = {one.user_key: one for one in rows}
        if chosen and not bound_if_submitted(ConfirmForm, request).is_valid():
            return self.action_page(
                request,
                "revoke",
                ConfirmForm(),
                title=_("Revoke guests"),
                question=_("These guests are disconnected, and cannot come back as the same:"),
                about=[f"{one.username} ({one.user_key})" for one in chosen.values()],
            )
        guests.revoke_all(chosen)
        self.note(request, list(chosen.values()), str(_("Revoked.")))
        text = ngettext("%d guest was revoked.", "%d guests were revoked.", len(chosen))
        self._report(request, text, len(chosen))
        return None

    def _sanction(
        self,
        request: HttpRequest,
        queryset: QuerySet[Connection],
        act: Callable[..., Any],
        form_class: type[RoomForm],
        title: Any,
    ) -> HttpResponse | None:
        people = self._people(request, queryset)
        form = bound_if_submitted(form_class, request)
        if not people:
            return None
        if not form.is_valid():
            about = list(people.values())
            name = act.__name__
            question = _("The users:")
            return self.action_page(
                request, name, form, title=title, question=question, about=about
            )
        room = form.cleaned_data["room"]
        number = self.sanction(request, act, [(room, key) for key in people], form)
        text = ngettext("Done to %d person.", "Done to %d people.", number)
        self._report(request, text, number)
        return None

    def _people(self, request: HttpRequest, queryset: QuerySet[Connection]) -> dict[str, str]:
        """Return the users of the selected rows: their ids, and how a question names them."""
        rows = self.chosen(request, queryset)
        return {one.user_key: f"{one.username} ({one.user_key})" for one in rows}

    def _send(
        self,
        request: HttpRequest,
        queryset: QuerySet[Connection],
        send: Callable[[push.Target], push.Handover],
        entry: str,
    ) -> int:
        """Push to each connection and log it in the admin; return the number of connections."""
        if not self.has_control_permission(request):
            raise PermissionDenied
        rows = list(queryset.prefetch_related(None).select_related(None))
        reached = list(takewhile(lambda one: send(push.connection(one.pk)), rows))
        self.note(request, reached, entry)
        if len(reached) < len(rows):
            self.message_user(request, str(UNREACHABLE), messages.ERROR)
        return len(reached)

    def _notice_all(self, request: HttpRequest, text: str, level: str) -> None:
        if not push.everyone().notice(text, level=level):
            self.message_user(request, str(UNREACHABLE), messages.ERROR)
            return
        entry = _("Notice to all (%(level)s): %(text)s") % {"level": level, "text": text}
        self.note(request, list(Node.objects.all()[:1]), str(entry))
        self.message_user(request, str(_("All clients were notified.")), messages.SUCCESS)

    def _report(self, request: HttpRequest, text: str, number: int) -> None:
        if number:
            self.message_user(request, text % number, messages.SUCCESS)
