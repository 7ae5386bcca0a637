"""The index of the examples, and their pages."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from realtime.views import socket_path

from .catalog import EXAMPLES

__all__ = ["example", "index"]


def index(request: HttpRequest) -> HttpResponse:
    """List the examples."""
    return render(request, "examples/index.html", {"examples": EXAMPLES})


def example(request: HttpRequest, name: str) -> HttpResponse:
    """Show the page of an example, with the path of its socket."""
    [found] = [one for one in EXAMPLES if one.name == name]
    context = {"example": found, "socket": f"{socket_path()}{name}/"}
    return render(request, f"examples/{name}.html", context)
