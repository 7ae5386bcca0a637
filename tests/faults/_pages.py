"""Pages that take places in rooms away, as a site's own code may."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from realtime.models import Membership, Room


def removed(request: HttpRequest, slug: str) -> HttpResponse:
    """Whoever is called as what happens loses the place."""
    for place in Membership.objects.filter(room__slug=slug, user__username="removed"):
        place.delete()
    return HttpResponse()


def hidden(request: HttpRequest, slug: str) -> HttpResponse:
    """A public room becomes a private one."""
    room = Room.objects.get(slug=slug)
    room.kind = Room.Kind.PRIVATE
    room.save()
    return HttpResponse()


urlpatterns = [path("removed/<slug>", removed), path("hidden/<slug>", hidden)]
