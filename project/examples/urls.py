"""Pages of the examples."""

from django.urls import path

from . import views
from .catalog import EXAMPLES

app_name = "examples"
urlpatterns = [
    path("", views.index, name="index"),
    *(path(f"{one.name}/", views.example, {"name": one.name}, one.name) for one in EXAMPLES),
]
