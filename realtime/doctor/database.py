"""Examine the database: whether it answers, keeps what it commits, and has our tables."""

import time
from collections.abc import Iterator

from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Min
from django.utils import timezone

from ..models import Pending
from ..store.database.alias import database
from ..store.database.servers import is_writable
from .finding import Finding, bad, good, warned

__all__ = ["examine_database", "examine_tables"]

SKEW_SECONDS = 2.0
PENDING_SECONDS = 10
FULL = 0.9
"""The share of PostgreSQL's connections in use that is too much."""
EPOCH = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400",
}
"""Queries for the seconds since 1970."""
UNSAFE = {"synchronous_commit": "off", "fsync": "off", "full_page_writes": "off"}


def examine_database() -> Iterator[Finding]:
    """Examine the server: writes, durability, connections, clock."""
    alias = database()
    if not is_writable(alias):
        text = "The database is read-only: it is a standby, or was set so."
        yield bad("database", text, "Let HOST lead to the primary (docs/deploy.md).")
        return
    yield good("database", f"The {connections[alias].display_name} server takes writes.")
    yield from _clock(alias)
    if connections[alias].vendor == "postgresql":
        yield from _durability(alias)
        yield from _connections(alias)


def examine_tables() -> Iterator[Finding]:
    """Examine our tables: migrations, and entries that nobody numbers."""
    connection = connections[database()]
    executor = MigrationExecutor(connection)
    leaves = [one for one in executor.loader.graph.leaf_nodes() if one[0] == "realtime"]
    if missing := [str(one.name) for one, _ in executor.migration_plan(leaves)]:
        text = f"Migrations are missing: {', '.join(missing)}."
        yield bad("migrations", text, "Run manage.py migrate.")
        return
    yield good("migrations", "All tables are up to date.")
    oldest = Pending.objects.using(connection.alias).aggregate(oldest=Min("created_at"))["oldest"]
    seconds = 0.0 if oldest is None else (timezone.now() - oldest).total_seconds()
    if seconds > PENDING_SECONDS:
        text = f"What was published has waited for its position for {seconds:.0f} s."
        mend = "Start a server process, and read its log for the reason."
        yield bad("pending", text, mend)
    else:
        yield good("pending", "Nothing waits for its position.")


def _clock(alias: str) -> Iterator[Finding]:
    if (query := EPOCH.get(connections[alias].vendor)) is None:
        return
    began = time.time()
    with connections[alias].cursor() as cursor:
        cursor.execute(query)
        [there] = cursor.fetchone()
    ended = time.time()
    skew = float(there) - (began + ended) / 2
    if abs(skew) > SKEW_SECONDS + (ended - began):
        text = f"The clock of the database is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
        mend = "Run a time service, such as chrony, on both hosts."
        yield bad("clocks", f"{text} of this host.", mend)
    else:
        yield good("clocks", "This host and the database have the same time.")


def _durability(alias: str) -> Iterator[Finding]:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(UNSAFE)])
        unsafe = sorted(name for name, value in cursor.fetchall() if value == UNSAFE[name])
    for name in unsafe:
        text = f"PostgreSQL has {name} = off: a crash loses messages that were acknowledged."
        yield bad("durability", text, f"Set {name} = on in postgresql.conf, or for the role.")
    if not unsafe:
        yield good("durability", "What is committed survives a crash of the database.")


def _connections(alias: str) -> Iterator[Finding]:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
            " current_setting('max_connections')::int"
        )
        used, most = cursor.fetchone()
    text = f"{used} of {most} connections of PostgreSQL are in use."
    if used > most * FULL:
        mend = "Raise max_connections, or lower max_size of the pools (docs/deploy.md)."
        yield warned("pools", text, mend)
    else:
        yield good("pools", text)
