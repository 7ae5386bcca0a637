"""Check whether the Redis servers of the channel layer answer."""

import asyncio
from collections.abc import Iterator
from threading import Thread
from typing import Any

import redis.asyncio
from channels_redis.utils import create_pool, decode_hosts
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from .configured import configured

__all__ = ["check_redis"]

ANSWER_SECONDS = 2


@register("realtime", deploy=True)
def check_redis(**kwargs: Any) -> list[CheckMessage]:
    """Check that each Redis of the channel layer answers (E018)."""
    alias = configured("channel_layer")
    layer = getattr(settings, "CHANNEL_LAYERS", {}).get(alias, {})
    if not str(layer.get("BACKEND", "")).startswith("channels_redis."):
        return []
    return list(_silent(alias, layer.get("CONFIG", {}).get("hosts")))


def _silent(alias: str, hosts: Any) -> Iterator[CheckMessage]:
    # In a thread, because a slow name resolution cannot be cancelled.
    faults: dict[int, str] = {}
    thread = Thread(target=lambda: asyncio.run(_ping_all(hosts, faults)), daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS + 0.1)
    for number, fault in sorted(faults.copy().items()):
        if fault:
            yield Error(  # without the address, which may hold a password
                f"Redis number {number} of CHANNEL_LAYERS[{alias!r}] does not answer.",
                hint=f"{fault}. Check its address, and whether it runs.",
                id="realtime.E018",
            )


async def _ping_all(hosts: Any, faults: dict[int, str]) -> None:
    try:
        decoded = decode_hosts(hosts)
    except (ValueError, TypeError, LookupError) as error:
        faults[1] = f"hosts cannot be read ({type(error).__name__})"
        return
    faults.update(dict.fromkeys(range(1, len(decoded) + 1), f"no answer in {ANSWER_SECONDS} s"))
    await asyncio.gather(*(_ping(n, host, faults) for n, host in enumerate(decoded, start=1)))


async def _ping(number: int, host: dict[str, Any], faults: dict[int, str]) -> None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            client = redis.asyncio.Redis(connection_pool=create_pool(host.copy()))
            try:
                await client.ping()
            finally:
                await client.aclose(close_connection_pool=True)
    except TimeoutError:
        return
    except Exception as error:  # of the client, the network or an invalid host
        faults[number] = f"it fails with {type(error).__name__}"
    else:
        faults[number] = ""
