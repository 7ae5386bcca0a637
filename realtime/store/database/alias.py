"""The database of the site that holds the package's tables."""

from django.db import router

from ...models import Message

__all__ = ["database"]


def database() -> str:
    """Return the alias of the database that holds the logs."""
    return router.db_for_write(Message)
