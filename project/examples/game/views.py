"""The context of the page of the example."""

from typing import Any

from django.http import HttpRequest

from .models import Game
from .topics import GameTopic

__all__ = ["context"]

SLUGS = ["kitchen", "garden", "attic"]


def context(request: HttpRequest) -> dict[str, Any]:
    """Return the game that the page shows, which is made if it is one of the usual ones."""
    wanted = request.GET.get("game", "")
    slug = wanted if wanted in SLUGS else SLUGS[0]
    Game.objects.get_or_create(slug=slug)
    return {"topic": GameTopic(slug=slug).name, "slug": slug, "games": SLUGS}
