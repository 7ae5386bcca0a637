"""Pages of the package: `path("realtime/", include("realtime.urls"))`."""

from django.urls import path, re_path

from . import views

__all__ = ["app_name", "urlpatterns"]

app_name = "realtime"
urlpatterns = [
    re_path(r"^ticket/?$", views.ticket, name="ticket"),
    re_path(r"^http/?$", views.over_http, name="http"),
    re_path(r"^streams/(?P<kind>room|topic)/(?P<name>.+)$", views.durable_stream, name="stream"),
    path("live/", views.live, name="live"),
    path("ready/", views.ready, name="ready"),
    path("live", views.live),
    re_path(r"^metrics/?$", views.metrics, name="metrics"),
    path("ready", views.ready),
]
