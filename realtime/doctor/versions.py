"""Examine versions: of the packages, of Redis and the database, and of each process."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from typing import Any

import redis.asyncio
from channels_redis.utils import create_pool, decode_hosts
from django.conf import settings
from django.db import connections

from ..checks.configured import configured
from ..engine.versions import versions
from ..models import Node
from ..operations.processes import versions_of
from ..store.database.alias import database
from ..store.presence import IS_ALIVE
from . import processes
from .finding import Finding, bad, good, warned

__all__ = ["examine_process_versions", "examine_server_versions", "examine_versions"]

LEAST = {
    "Python": "3.11",
    "Django": "5.2.14",
    "channels": "4.3.2",
    "channels-redis": "4.3",
    "daphne": "4.2.2",
    "Twisted": "24.7",
    "msgspec": "0.20",
    "msgpack": "1.2.1",
    "psycopg": "3.2",
    "redis": "5.1",
    "uvicorn": "0.34",
}
"""The oldest versions that work, those of pyproject.toml."""
LEAST_REDIS = "5.0"
"""The first version with BZPOPMIN, which channels_redis needs."""
REDIS_SECONDS = 2.0
ROLL = "Restart the processes one after the other, so that all run the same code (docs/deploy.md)."


def examine_versions() -> Iterator[Finding]:
    """Name the versions of this process, and those that are too old."""
    own = versions()
    old = [name for name, least in LEAST.items() if name in own and _is_older(own[name], least)]
    for name in old:
        text = f"{name} {own[name]} is too old: {LEAST[name]} is the oldest that works."
        mend = "Install a newer Python." if name == "Python" else f'pip install --upgrade "{name}"'
        yield bad("versions", text, mend)
    if not old:
        yield good("versions", ", ".join(f"{name} {text}" for name, text in own.items()) + ".")


def examine_server_versions() -> Iterator[Finding]:
    """Name the versions of the database and of the Redis servers of the channel layer."""
    yield _database()
    for number, found in enumerate(asyncio.run(_redis_versions(_redis_hosts())), start=1):
        if found:  # else the system checks tell that it does not answer
            yield _redis(number, found)


def examine_process_versions() -> Iterator[Finding]:
    """Compare the versions of each living process with those of this one."""
    nodes = Node.objects.using(database()).annotate(is_alive=IS_ALIVE).filter(is_alive=True)
    rows, own = {one.pk: one for one in nodes.order_by("pk")}, versions()
    found = versions_of(rows, processes.ANSWER_SECONDS)
    for pk, theirs in found.items():
        text = _difference(own, theirs)
        if text:
            yield warned("versions", f"The process {rows[pk]} {text}.", ROLL)
    if found and not any(_difference(own, theirs) for theirs in found.values()):
        yield good("versions", f"{len(found)} processes have the versions of this one.")


def _difference(own: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """Return in which versions a process differs from this one."""
    if not theirs:
        return "has an earlier release of this package, which does not tell its versions"
    differing = [
        f"{name} {theirs.get(name, '(none)')} in place of {own.get(name, '(none)')}"
        for name in sorted(own.keys() | theirs.keys())
        if theirs.get(name) != own.get(name)
    ]
    return f"has {', '.join(differing)}" if differing else ""


def _database() -> Finding:
    connection: Any = connections[database()]
    connection.ensure_connection()
    name = connection.display_name
    found = tuple(connection.get_database_version())
    text = ".".join(map(str, found))
    least = connection.features.minimum_database_version
    if least is not None and found < least:  # Django itself refuses it at most times
        oldest = ".".join(map(str, least))
        mend = "Upgrade the database server."
        return bad("versions", f"{name} {text} is too old: Django needs {oldest}.", mend)
    return good("versions", f"{name} {text}.")


def _redis_hosts() -> list[dict[str, Any]]:
    """Return the Redis servers of the channel layer; none of hosts that cannot be read."""
    layer = getattr(settings, "CHANNEL_LAYERS", {}).get(configured("channel_layer"), {})
    if not str(layer.get("BACKEND", "")).startswith("channels_redis."):
        return []
    try:
        return list(decode_hosts(layer.get("CONFIG", {}).get("hosts")))
    except (ValueError, TypeError, LookupError):
        return []


def _redis(number: int, found: Mapping[str, Any]) -> Finding:
    name = "Valkey" if "valkey_version" in found else "Redis"
    text = str(found.get("valkey_version") or found.get("redis_version", ""))
    if _is_older(str(found.get("redis_version", "")), LEAST_REDIS):  # Valkey has one too
        about = (
            f"{name} {text} (number {number}) is too old: {LEAST_REDIS} is the oldest that works."
        )
        return bad("versions", about, "Upgrade the Redis server.")
    return good("versions", f"{name} {text} (number {number} of the channel layer).")


async def _redis_versions(hosts: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
    return list(await asyncio.gather(*map(_redis_version, hosts)))


async def _redis_version(host: dict[str, Any]) -> Mapping[str, Any]:
    """Return what a Redis says of itself; nothing if it does not answer."""
    try:
        async with asyncio.timeout(REDIS_SECONDS):
            client = redis.asyncio.Redis(connection_pool=create_pool(host.copy()))
            try:
                found: Mapping[str, Any] = await client.info("server")
            finally:
                await client.aclose(close_connection_pool=True)
    except Exception:  # of the client, the network, or a command that is forbidden
        return {}
    return found


def _is_older(found: str, least: str) -> bool:
    """Compare the numbers at the beginning of two versions; an unknown one is not older."""
    known = _numbers(found)
    return bool(known) and known < _numbers(least)


def _numbers(text: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, match[0].split("."))) if match else ()
