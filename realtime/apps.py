"""Registration of the app: checks, signal receivers, log filters."""

import sys

from django.apps import AppConfig
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

__all__ = ["RealtimeConfig"]


class RealtimeConfig(AppConfig):
    """The configuration of the app."""

    name = "realtime"
    verbose_name = _("realtime")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register checks, receivers and topics, translate with Django, keep tokens out of logs."""
        from . import checks  # noqa: F401
        from .auth import changes
        from .engine import notify  # noqa: F401
        from .engine.engine import find_connection, own_node
        from .log_fields import process
        from .logs import hide_tokens
        from .store.rooms import rights  # noqa: F401
        from .topics.registry import registry
        from .wire.text import Text

        Text.to_active = gettext
        changes.connect()
        hide_tokens()
        process.find, process.node = find_connection, own_node
        from .operations import live, tracing  # noqa: F401 - topics

        registry.discover()
        if routes := sys.modules.get(f"{self.name}.routing"):  # the ASGI file was imported first
            routes.prepare()
