"""The context of the page of the example."""

from typing import Any

from django.http import HttpRequest

from realtime.page import socket_path

from .topics import TelemetryTopic

__all__ = ["context"]


def context(request: HttpRequest) -> dict[str, Any]:
    """Return the topic of the page, and the socket of the devices."""
    return {"topic": TelemetryTopic().name, "devices": f"{socket_path()}telemetry/"}
