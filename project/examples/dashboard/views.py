"""The context of the page of the example."""

from typing import Any

from django.http import HttpRequest

from .machines import METRICS
from .topics import DashboardTopic

__all__ = ["context"]


def context(request: HttpRequest) -> dict[str, Any]:
    """Return the topic and the columns of the table."""
    return {"topic": DashboardTopic().name, "metrics": METRICS}
