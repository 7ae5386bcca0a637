"""The demo's page: one chat, whose rooms are addresses of their own."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache

from realtime import rooms
from realtime.models import Membership, Room
from realtime.store.display import display_name
from realtime.store.identity import Identity
from realtime.views import socket_path
from realtime.wire.errors import CommandError


def home(request: HttpRequest) -> HttpResponse:
    """The chat in the first room."""
    return chat(request, visible_rooms(request).first())


def room(request: HttpRequest, slug: str) -> HttpResponse:
    """The chat in one room; a room that may not be seen is one that is not there."""
    found = visible_rooms(request).filter(slug=slug).first()
    if found is None:
        raise Http404
    return chat(request, found)


@never_cache
@login_required
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Where the link of an invitation leads: it is taken by a button, not by who looks at it."""
    problem = ""
    if request.method == "POST":
        try:
            return redirect("room", rooms.accept(token, request.user).slug)
        except CommandError as error:
            problem = f"{error.message[:1].upper()}{error.message[1:]}."
    return render(request, "invitation.html", {"problem": problem})


@never_cache
def chat(request: HttpRequest, current: Room | None) -> HttpResponse:
    """The page around the chat, with what the script needs to know."""
    visible = named(visible_rooms(request), request.user)
    current = next((room for room in visible if room == current), None)
    config = configuration(request, visible, current)
    return render(request, "chat.html", {"room": current, "rooms": visible, "config": config})


def visible_rooms(request: HttpRequest) -> QuerySet[Room]:
    """Public rooms, and private ones that the user belongs to."""
    visible = Q(kind=Room.Kind.PUBLIC)
    if request.user.is_authenticated:
        visible |= Q(memberships__user=request.user)
    return Room.objects.filter(visible).distinct().order_by("pk")


def named(visible: QuerySet[Room], user: Any) -> list[Room]:
    """The rooms, direct ones by the name of the other user."""
    found = list(visible)
    places = Membership.objects.filter(room__in=[one for one in found if one.direct_key])
    others = {
        place.room_id: place.user for place in places.exclude(user=user.pk).select_related("user")
    }
    for room in found:
        if room.pk in others:
            room.title = display_name(others[room.pk])
    return found


def configuration(
    request: HttpRequest, visible: list[Room], current: Room | None
) -> dict[str, Any]:
    """What the script starts from."""
    return {
        "url": socket_path(),
        "room": current and current.slug,
        "roomUrl": reverse("room", args=["SLUG"]),
        "invitationUrl": reverse("invitation", args=["TOKEN"]),
        "rooms": [
            {"slug": room.slug, "title": str(room), "href": reverse("room", args=[room.slug])}
            for room in visible
        ],
        "user": request.user.get_username() or None,
        "userId": Identity.of(request.user).user_id if request.user.is_authenticated else None,
    }
