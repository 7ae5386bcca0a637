"""Check whether the modules of the browser client find each other under hashed names."""

from typing import Any

from django.apps import apps
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.core.checks import CheckMessage, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured

__all__ = ["check_static"]


@register("realtime")
def check_static(**kwargs: Any) -> list[CheckMessage]:
    """Check that a storage without plain names rewrites imports between modules (W017)."""
    if not apps.is_installed("django.contrib.staticfiles"):
        return []
    try:
        storage: Any = staticfiles_storage
        is_manifest = isinstance(storage, ManifestFilesMixin)
    except (ImproperlyConfigured, ImportError):  # Django reports it
        return []
    if not is_manifest or storage.support_js_module_import_aggregation:
        return []
    if not getattr(storage, "keep_only_hashed_files", False):
        return []  # plain names are served too, and a revision in them changes with the content
    return [
        CheckWarning(
            "The browser client's modules do not find each other: the static files have hashed "
            "names alone, and imports are not rewritten.",
            hint="Use a subclass of the storage with support_js_module_import_aggregation = True, "
            "or do not set WHITENOISE_KEEP_ONLY_HASHED_FILES.",
            id="realtime.W017",
        )
    ]
