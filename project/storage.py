"""Static files with a hash in their names, after `collectstatic`."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStatic(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Uses plain names until there is a manifest; also rewrites imports between ES modules."""

    support_js_module_import_aggregation = True

    def stored_name(self, name: str) -> str:
        """Return the hashed name, or the plain one without a manifest."""
        return super().stored_name(name) if self.hashed_files else name
