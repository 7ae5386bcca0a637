"""Addresses of a site whose pages stand below their language; the package's also stand beside."""

from django.conf.urls.i18n import i18n_patterns
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("realtime/", include("realtime.urls")),
    *i18n_patterns(path("page/", RedirectView.as_view(url="/"))),
    *i18n_patterns(path("below/", include(("realtime.urls", "realtime"), namespace="below"))),
]
