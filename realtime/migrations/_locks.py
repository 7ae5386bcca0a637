import time
from typing import Any

from django.db import OperationalError, transaction

TRIES = 20
PAUSE_SECONDS = 0.5


def lock(schema_editor: Any, *tables: str) -> None:
    """Lock tables on PostgreSQL for what follows, but never let their readers wait long behind this.

    The time limit is that of all later locks of the migration too.
    """
    connection = schema_editor.connection
    if connection.vendor != 'postgresql':
        return
    for attempt in range(TRIES):
        try:
            with transaction.atomic(using=connection.alias):
                schema_editor.execute("SET LOCAL lock_timeout = '500ms'")
                schema_editor.execute(f'LOCK TABLE {", ".join(tables)} IN ACCESS EXCLUSIVE MODE')
            return
        except OperationalError:
            if attempt == TRIES - 1:
                raise
            time.sleep(PAUSE_SECONDS)
