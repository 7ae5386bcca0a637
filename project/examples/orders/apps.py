"""The app of the example."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """Orders, and the receivers that publish their changes."""

    name = "project.examples.orders"
    label = "example_orders"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the receivers."""
        from . import receivers  # noqa: F401
