"""The app of the example."""

from django.apps import AppConfig


class TelemetryConfig(AppConfig):
    """Devices and what they have measured."""

    name = "project.examples.telemetry"
    label = "example_telemetry"
    default_auto_field = "django.db.models.BigAutoField"
