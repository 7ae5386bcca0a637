"""A site's pages: one whose view pushes."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from project.urls import urlpatterns as pages
from realtime import push


def send(request: HttpRequest) -> HttpResponse:
    """Tell everybody."""
    push.everyone().send({"from": "a view"})
    return HttpResponse("sent")


urlpatterns = [path("push", send), path("", include(pages))]
