"""Checks of the package's database and its connections."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router

from ..conf import Config
from ..engine.database.executor import ASK_THREADS, hook_threads
from ..topics.registry import registry
from .configured import configured

__all__ = ["alias", "check_connections", "check_database", "check_max_connections", "is_sqlite"]

OTHER_THREADS = 3 + 4
"""The three writing threads, and some for the site's own views."""
POOL_SIZE = 4
"""The default size of psycopg's pool."""
CONNECT_SECONDS = 2


def alias() -> str:
    """Return the alias of the database that holds the messages."""
    return router.db_for_write(apps.get_model("realtime", "Message"))


def is_sqlite() -> bool:
    """Return whether the package's database is SQLite."""
    return connections[alias()].vendor == "sqlite"


@register("realtime")
def check_database(**kwargs: Any) -> list[CheckMessage]:
    """Check for one database (E005), a large enough pool (W004, W005), a tested vendor (W007)."""
    models = apps.get_app_config("realtime").get_models()
    aliases = {router.db_for_write(model) for model in models}
    if len(aliases) > 1:
        text = f"The models must be in one database, not in {', '.join(sorted(aliases))}."
        return [Error(text, id="realtime.E005")]
    database = connections[alias()]
    if database.vendor == "postgresql":
        return list(_postgresql(database.settings_dict))
    if database.vendor == "sqlite":
        return []
    text = f"realtime is not tested on {database.display_name}."
    return [CheckWarning(text, hint="Use PostgreSQL or SQLite.", id="realtime.W007")]


def _postgresql(database: Mapping[str, Any]) -> Iterator[CheckMessage]:
    needed = configured("db_threads") + OTHER_THREADS
    if registry.site_classes:
        needed += configured("call_threads") + ASK_THREADS
    if configured("hooks") != Config().hooks:
        needed += hook_threads(configured("call_threads"))
    pool = database["OPTIONS"].get("pool")
    if not pool and database["CONN_MAX_AGE"] == 0:
        yield CheckWarning(
            "Every message opens a connection to PostgreSQL, which takes ten times as long.",
            hint=f'Set OPTIONS["pool"] = {{"max_size": {max(needed, 12)}}}.',
            id="realtime.W004",
        )
    if pool and (size := _pool_size(pool)) < needed:
        yield CheckWarning(
            f"The pool of {size} connections is too small: a process may need {needed}.",
            hint=f'Set OPTIONS["pool"] = {{"max_size": {needed}}}, or lower DB_THREADS.',
            id="realtime.W005",
        )


def _pool_size(pool: Any) -> int:
    if not isinstance(pool, dict):
        return POOL_SIZE
    return int(pool.get("max_size") or pool.get("min_size", POOL_SIZE))


@register("realtime")
def check_connections(**kwargs: Any) -> list[CheckMessage]:
    """Check that no database has CONN_MAX_AGE (W018): under ASGI, threads leak connections."""
    return [
        CheckWarning(
            f"DATABASES[{name!r}] has CONN_MAX_AGE: under ASGI it leaks connections.",
            hint="Views run in changing threads there, and a connection stays open in a thread "
            'that does not come back. Remove it; on PostgreSQL set OPTIONS["pool"] instead.',
            id="realtime.W018",
        )
        for name in connections
        if connections[name].vendor not in ("sqlite", "unknown")
        if connections[name].settings_dict["CONN_MAX_AGE"] != 0
    ]


@register("realtime", deploy=True)
def check_max_connections(**kwargs: Any) -> list[CheckMessage]:
    """Check that the pool fits PostgreSQL's `max_connections` (W019)."""
    database = connections[alias()]
    pool = database.settings_dict["OPTIONS"].get("pool")
    if database.vendor != "postgresql" or not pool:
        return []
    if (most := _ordinary_connections(database)) is None:
        return []
    size = _pool_size(pool)
    if 2 * size <= most:
        return []
    return [
        CheckWarning(
            f"A process may open {size} connections, and PostgreSQL takes {most} from all of them.",
            hint="Each server process has a pool of its own, and two run during a restart; how "
            "many there are is not known here. Raise max_connections, lower max_size, or put "
            "PgBouncer in between and silence this.",
            id="realtime.W019",
        )
    ]


def _ordinary_connections(database: Any) -> int | None:
    """Return how many connections PostgreSQL grants to ordinary roles; None if unknown."""
    alone = database.copy()  # without the pool, whose timeout may be long
    del alone.settings_dict["OPTIONS"]["pool"]
    alone.settings_dict["OPTIONS"]["connect_timeout"] = CONNECT_SECONDS
    try:
        with alone.temporary_connection() as cursor:
            cursor.execute(
                "SELECT sum(CASE name WHEN 'max_connections' THEN setting::int "
                "ELSE -setting::int END) FROM pg_settings WHERE name IN ("
                "'max_connections', 'superuser_reserved_connections', 'reserved_connections')"
            )
            [most] = cursor.fetchone()
    except (DatabaseError, ImproperlyConfigured):  # the check of the site's database reports it
        return None
    return int(most)
