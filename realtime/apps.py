"""Registration; nothing decides here."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

__all__ = ["RealtimeConfig"]


class RealtimeConfig(AppConfig):
    """The app."""

    name = "realtime"
    verbose_name = _("realtime")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks and signal receivers."""
        from . import checks  # noqa: F401
        from .auth import changes
        from .engine import tell  # noqa: F401
        from .store import rights  # noqa: F401

        changes.connect()
