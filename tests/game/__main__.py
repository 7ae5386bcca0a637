"""`python -m tests.game` plays the game with chanx, where `chanx[channels]` is installed."""

import asyncio
import sys
from importlib.metadata import version

import django
from django.conf import settings


def main() -> None:
    """Make a site without a database, and play."""
    settings.configure(
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "channels"],
        CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    )
    django.setup()
    from django.contrib.auth.models import User

    from .scenario import enveloped, people, play
    from .with_chanx import GameConsumer

    steps = asyncio.run(play(GameConsumer, people(User), enveloped))
    sys.stdout.write(f"chanx {version('chanx')}: {steps} steps played\n")


main()
