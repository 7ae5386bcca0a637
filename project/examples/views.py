"""The index of the examples, and their pages."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from realtime.page import socket_path

from .board.views import context as board
from .catalog import EXAMPLES
from .dashboard.views import context as dashboard
from .game.views import context as game
from .orders.views import context as orders
from .telemetry.views import context as telemetry

__all__ = ["example", "index"]

CONTEXTS: dict[str, Callable[[HttpRequest], dict[str, Any]]] = {
    "board": board,
    "dashboard": dashboard,
    "game": game,
    "orders": orders,
    "telemetry": telemetry,
}
"""What the pages of topics need beside their title and their socket."""


def index(request: HttpRequest) -> HttpResponse:
    """List the examples."""
    return render(request, "examples/index.html", {"examples": EXAMPLES})


def example(request: HttpRequest, name: str) -> HttpResponse:
    """Show the page of an example, with the path of its socket."""
    [found] = [one for one in EXAMPLES if one.name == name]
    context = {"example": found, "socket": f"{socket_path()}{found.socket}"}
    if name in CONTEXTS:
        context |= CONTEXTS[name](request)
    return render(request, f"examples/{name}.html", context)
