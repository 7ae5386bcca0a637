"""The app of the example."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """Orders, and the live list of them."""

    name = "project.examples.orders"
    label = "example_orders"
    default_auto_field = "django.db.models.BigAutoField"
