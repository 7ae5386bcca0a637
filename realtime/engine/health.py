"""Whether a process can store what clients send."""

import asyncio
from typing import Any

from asgiref.sync import sync_to_async
from django.db import Error as DatabaseError

from ..store.database.alias import database
from ..store.database.servers import is_writable, on_working_server
from .engine import Engine

__all__ = ["takes_writes"]

DATABASE_SECONDS = 2.0


async def takes_writes(engine: Engine | None) -> bool:
    """Return whether the database accepts writes, and the last renewal of the lease succeeded."""
    if engine is not None and not engine.is_current:
        return False
    query: Any = sync_to_async(_query) if engine is None else lambda: engine.db.read(_query)
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            return bool(await query())
    except (DatabaseError, TimeoutError):
        return False


@on_working_server
def _query() -> bool:
    return is_writable(database())
