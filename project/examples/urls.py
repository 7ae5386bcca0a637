"""Pages of the examples."""

from django.urls import include, path

from . import views
from .catalog import EXAMPLES

app_name = "examples"
urlpatterns = [
    path("", views.index, name="index"),
    path("orders/", include("project.examples.orders.urls")),
    *(path(f"{one.name}/", views.example, {"name": one.name}, one.name) for one in EXAMPLES),
]
