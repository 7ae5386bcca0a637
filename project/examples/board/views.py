"""The context of the page of the example."""

from typing import Any, get_args

from django.http import HttpRequest

from .topics import BoardTopic, Colour, CursorTopic

__all__ = ["context"]


def context(request: HttpRequest) -> dict[str, Any]:
    """Return the topics of the board that the page shows."""
    slug = "wall"
    topics = {"topic": BoardTopic(slug=slug).name, "cursors": CursorTopic(slug=slug).name}
    return topics | {"colours": get_args(Colour)}
