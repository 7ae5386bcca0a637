"""The id of this site on a channel layer that other sites may share.

It is a digest of a random key that a migration stores, of the location of the database, and of the
setting `SITE`. A copy of the database has the same key at another location.
"""

import os
from contextlib import suppress
from hashlib import blake2s
from pathlib import Path
from typing import Any

from django.db import NotSupportedError, ProgrammingError, connections, transaction

from ...conf import config
from ...models import Rights
from ...models.access import new_site
from .alias import database
from .machine import boot

__all__ = ["identity"]

POSTGRES_LOCATION = """
SELECT system_identifier::text,
       (SELECT oid::text FROM pg_database WHERE datname = current_database()),
       to_regclass(%s)::oid::text,
       current_setting('port')
FROM pg_control_system()
"""


def identity() -> str:
    """Return 16 hexadecimal digits that are the same in all processes on one database.

    Raises what the database raises.
    """
    alias = database()
    parts = [config().site, _key(alias), *_location(connections[alias])]
    return blake2s("\0".join(parts).encode(), digest_size=8).hexdigest()


def _key(alias: str) -> str:
    rows = Rights.objects.using(alias).filter(pk=Rights.ONLY)
    found = list(rows.values_list("site", flat=True))
    if not any(found):
        # Processes of the last release create the row without a key, and `flush` removes it.
        Rights.objects.using(alias).bulk_create([Rights()], ignore_conflicts=True)
        rows.filter(site="").update(site=new_site())
        found = list(rows.values_list("site", flat=True))
    return str(found[0])


def _location(connection: Any) -> tuple[str, ...]:
    """Return what differs between this database and a copy, however a process connects."""
    if connection.vendor == "postgresql":
        # The role may lack the permission, and compatible servers may lack the function.
        with suppress(ProgrammingError, NotSupportedError):
            return _postgres_location(connection)
    if connection.vendor == "sqlite":
        return _file_location(connection)
    options = connection.settings_dict
    return tuple(str(options.get(name, "")) for name in ("HOST", "PORT", "NAME"))


def _postgres_location(connection: Any) -> tuple[str, ...]:
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(POSTGRES_LOCATION, [f'"{Rights._meta.db_table}"'])
        return tuple(map(str, cursor.fetchone()))


def _file_location(connection: Any) -> tuple[str, ...]:
    """Return the file on this running kernel: its path may differ between containers."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA database_list")
        path = next(row[2] for row in cursor.fetchall() if row[1] == "main")
    if not path:  # in memory: no other process can open it
        return (str(os.getpid()),)
    found = Path(path).stat()
    return boot(), str(found.st_dev), str(found.st_ino)
