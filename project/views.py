"""Pages of the demo: one chat, with a URL for each room."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache

from realtime import rooms
from realtime.errors import CommandError
from realtime.models import Membership, Room
from realtime.page import socket_path
from realtime.store.accounts.display import display_name
from realtime.store.accounts.identity import Identity

PAGE = 50
"""The number of rooms on a page of the list."""


def home(request: HttpRequest) -> HttpResponse:
    """Show the chat in the first room."""
    return chat(request, visible_rooms(request).first())


def room(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the chat in one room; 404 for a room that the user may not see."""
    found = visible_rooms(request).filter(slug=slug).first()
    if found is None:
        raise Http404
    return chat(request, found)


@never_cache
@login_required
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Show the page of an invitation, which is accepted by a button, not by opening the link."""
    problem = ""
    if request.method == "POST":
        try:
            return redirect("room", rooms.accept(token, request.user).slug)
        except CommandError as error:
            problem = error.message
    return render(request, "invitation.html", {"problem": problem})


@never_cache
def chat(request: HttpRequest, current: Room | None) -> HttpResponse:
    """Show the chat, with the configuration of its script."""
    listed, after = page_of_rooms(request)
    if current is not None and current not in listed:
        listed.insert(0, current)
    listed = named(listed, request.user)
    current = next((room for room in listed if room == current), None)
    config = configuration(request, listed, current) | {"next": after}
    return render(request, "chat.html", {"room": current, "rooms": listed, "config": config})


@never_cache
def room_list(request: HttpRequest) -> HttpResponse:
    """Return a page of rooms as JSON: those that match `q`, after the room with id `after`."""
    listed, after = page_of_rooms(request)
    found = [described(room) for room in named(listed, request.user)]
    return JsonResponse({"rooms": found, "next": after})


def page_of_rooms(request: HttpRequest) -> tuple[list[Room], int | None]:
    """Return a page of rooms, the user's own ones first, and the id after which the next starts."""
    query = request.GET.get("q", "").replace("\0", "").strip()[:200]
    after = request.GET.get("after", "")
    start = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else None
    own = own_rooms(request.user)
    public = Room.objects.filter(kind=Room.Kind.PUBLIC).order_by("pk")
    if query:
        words = Q(title__icontains=query) | Q(slug__icontains=query)
        other = Q(kind=Room.Kind.DIRECT, memberships__user__username__icontains=query)
        own, public = own.filter(words | other).distinct(), public.filter(words)
    if start is not None:
        own, public = own.none(), public.filter(pk__gt=start)
    found = list(public[: PAGE + 1])
    return [*own[:PAGE], *found[:PAGE]], found[PAGE - 1].pk if len(found) > PAGE else None


def own_rooms(user: Any) -> QuerySet[Room]:
    """Return the private and direct rooms of a user, newest first."""
    if not user.is_authenticated:
        return Room.objects.none()
    own = Membership.objects.filter(user=user).values("room")
    return Room.objects.filter(pk__in=own).exclude(kind=Room.Kind.PUBLIC).order_by("-pk")


def visible_rooms(request: HttpRequest) -> QuerySet[Room]:
    """Return public rooms, and the other rooms of the user."""
    visible = Q(kind=Room.Kind.PUBLIC)
    if request.user.is_authenticated:
        visible |= Q(pk__in=Membership.objects.filter(user=request.user).values("room"))
    return Room.objects.filter(visible).order_by("pk")


def named(found: list[Room], user: Any) -> list[Room]:
    """Return the rooms, with the name of the other user as the title of a direct room."""
    members = Membership.objects.filter(room__in=[one for one in found if one.direct_key])
    others = {one.room_id: one.user for one in members.exclude(user=user.pk).select_related("user")}
    for room in found:
        if room.pk in others:
            room.title = display_name(others[room.pk])
    return found


def configuration(
    request: HttpRequest, visible: list[Room], current: Room | None
) -> dict[str, Any]:
    """Return the configuration of the script."""
    return {
        "url": socket_path(),
        "room": current and current.slug,
        "roomUrl": reverse("room", args=["SLUG"]),
        "roomsUrl": reverse("rooms"),
        "invitationUrl": reverse("invitation", args=["TOKEN"]),
        "rooms": [described(room) for room in visible],
        "user": request.user.get_username() or None,
        "userId": Identity.of(request.user).user_id if request.user.is_authenticated else None,
    }


def described(room: Room) -> dict[str, Any]:
    """Return a room of the list in the form that the script expects."""
    return {"slug": room.slug, "title": str(room), "href": reverse("room", args=[room.slug])}
