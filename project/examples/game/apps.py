"""The app of the example."""

from django.apps import AppConfig


class GameConfig(AppConfig):
    """Two players and their game."""

    name = "project.examples.game"
    label = "example_game"
    default_auto_field = "django.db.models.BigAutoField"
