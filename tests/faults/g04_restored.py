"""G4: the database is restored to an earlier state under running servers."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from harness.client.chatter import Chatter
from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.site import UNLIMITED, Site
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import ENCODINGS, TWO, inside, settle
from tests.proxy import Proxy

MESSAGES = 5
"""Of each client, in each of three lives: before the copy, after it, and after its return."""


@fault(
    "G4",
    "the database restored to an earlier state, with one client away",
    must={
        **NOTHING_BROKEN,
        "not told to begin anew": 0,
        "told so again": 0,
        "told after, s": 15,
    },
    in_topics=True,
)
async def restored(ground: Ground) -> Figures:
    """Everybody begins anew, and sends again what the copy did not have."""
    pulse = ground.size(1, 5)
    site = ground.make_site(servers=TWO, settings={**UNLIMITED, "PULSE_SECONDS": pulse})
    copy = Copy(site, ground)
    async with Proxy(site.servers[0].port) as line, inside(_clients(site, line)) as chatters:
        await _say(chatters, "kept", site)
        copy.make()
        await _say(chatters, "lost", site)
        line.cut()
        copy.restore()
        began = time.monotonic()
        with suppress(TimeoutError):  # `restarts` tells
            for chatter in chatters[1:]:
                await chatter.until(lambda chatter=chatter: chatter.restarts and chatter.is_inside)
        told = time.monotonic() - began
        line.restore()
        await chatters[0].until(lambda: chatters[0].is_inside)
        await _say(chatters, "new", site)
    restarts = [chatter.restarts for chatter in chatters]
    return {
        **reckon(chatters, site.database),
        "not told to begin anew": restarts.count(0),
        "told so again": sum(restarts) - len(restarts) + restarts.count(0),
        "told after, s": told,
        "sent again": sum(chatter.resent for chatter in chatters),
    }


def _clients(site: Site, line: Proxy) -> list[Chatter]:
    """The first of them comes by way of the line."""
    urls = [f"ws://127.0.0.1:{line.port}/ws", *site.urls, *site.urls]
    return [
        site.client(f"client {one}", [url], ["general"], ENCODINGS[one], may_restart=True)
        for one, url in enumerate(urls)
    ]


async def _say(chatters: list[Chatter], what: str, site: Site) -> None:
    for turn in range(MESSAGES):
        said = (chatter.say("general", f"{what} {chatter.name} {turn}") for chatter in chatters)
        await asyncio.wait_for(asyncio.gather(*said), 30)
    await settle(chatters, site.database)


class Copy:
    """A copy of a site's database, made and brought back while servers use it."""

    def __init__(self, site: Site, ground: Ground) -> None:
        self._server, _, self._name = site.database.url.rpartition("/")
        self._copy, self._old = ground.services.new_name(), ground.services.new_name()

    def make(self) -> None:
        with self._unused() as connection:
            _run(connection, f'CREATE DATABASE "{self._copy}" TEMPLATE "{self._name}"')

    def restore(self) -> None:
        with self._unused() as connection:
            _run(connection, f'ALTER DATABASE "{self._name}" RENAME TO "{self._old}"')
            _run(connection, f'ALTER DATABASE "{self._copy}" RENAME TO "{self._name}"')

    @contextmanager
    def _unused(self) -> Iterator[psycopg.Connection[Any]]:
        """Nobody is connected to the database meanwhile: PostgreSQL copies and renames no other."""
        url = f"{self._server}/postgres"
        with psycopg.connect(url, autocommit=True) as connection:
            _run(connection, f'ALTER DATABASE "{self._name}" ALLOW_CONNECTIONS false')
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [self._name],
            )
            yield connection
            _run(connection, f'ALTER DATABASE "{self._name}" ALLOW_CONNECTIONS true')


def _run(connection: psycopg.Connection[Any], statement: str) -> None:
    connection.execute(statement.encode())
