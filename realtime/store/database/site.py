"""The identity of this site on a channel layer that other sites may use as well.

It is made of a random key that a migration stores, of the place where the database itself stands,
and of the setting `SITE`. A copy of the database has the same key in another place.
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

POSTGRES_PLACE = """
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
    parts = [config().site, _key(alias), *_place(connections[alias])]
    return blake2s("\0".join(parts).encode(), digest_size=8).hexdigest()


def _key(alias: str) -> str:
    rows = Rights.objects.using(alias).filter(pk=Rights.ONLY)
    found = list(rows.values_list("site", flat=True))
    if not any(found):
        # Processes of the last release make the row without a key, and `flush` removes it.
        Rights.objects.using(alias).bulk_create([Rights()], ignore_conflicts=True)
        rows.filter(site="").update(site=new_site())
        found = list(rows.values_list("site", flat=True))
    return str(found[0])


def _place(connection: Any) -> tuple[str, ...]:
    """Tell this database from a copy, however a process connects to it."""
    if connection.vendor == "postgresql":
        # A role may be forbidden to ask, and servers that only speak like PostgreSQL cannot answer.
        with suppress(ProgrammingError, NotSupportedError):
            return _postgres_place(connection)
    if connection.vendor == "sqlite":
        return _file_place(connection)
    options = connection.settings_dict
    return tuple(str(options.get(name, "")) for name in ("HOST", "PORT", "NAME"))


def _postgres_place(connection: Any) -> tuple[str, ...]:
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(POSTGRES_PLACE, [f'"{Rights._meta.db_table}"'])
        return tuple(map(str, cursor.fetchone()))


def _file_place(connection: Any) -> tuple[str, ...]:
    """Return the file on this running kernel: its path may differ between containers."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA database_list")
        path = next(row[2] for row in cursor.fetchall() if row[1] == "main")
    if not path:  # in memory: nobody else can open it
        return (str(os.getpid()),)
    found = Path(path).stat()
    return boot(), str(found.st_dev), str(found.st_ino)
