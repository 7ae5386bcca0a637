"""Static files with a hash in their names, once `collectstatic` has made them."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStatic(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Plain names until there is a manifest; imports between ES modules are rewritten too."""

    support_js_module_import_aggregation = True

    def stored_name(self, name: str) -> str:
        """The hashed name, where there is one."""
        return super().stored_name(name) if self.hashed_files else name
