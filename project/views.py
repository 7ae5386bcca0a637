"""The demo's page: one chat, whose rooms are addresses of their own."""

from typing import Any

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache

from realtime.models import Room


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
def chat(request: HttpRequest, current: Room | None) -> HttpResponse:
    """The page around the chat, with what the script needs to know."""
    rooms = list(visible_rooms(request))
    config = configuration(request, rooms, current)
    return render(request, "chat.html", {"room": current, "rooms": rooms, "config": config})


def visible_rooms(request: HttpRequest) -> QuerySet[Room]:
    """Public rooms, and private ones that the user belongs to."""
    visible = Q(kind=Room.Kind.PUBLIC)
    if request.user.is_authenticated:
        visible |= Q(kind=Room.Kind.PRIVATE, memberships__user=request.user)
    return Room.objects.filter(visible).distinct().order_by("pk")


def configuration(request: HttpRequest, rooms: list[Room], current: Room | None) -> dict[str, Any]:
    """What the script starts from."""
    return {
        "url": "/ws/",
        "room": current and current.slug,
        "roomUrl": reverse("room", args=["SLUG"]),
        "rooms": [
            {"slug": room.slug, "title": str(room), "href": reverse("room", args=[room.slug])}
            for room in rooms
        ],
        "user": request.user.get_username() or None,
    }
