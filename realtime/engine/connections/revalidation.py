"""Revalidate open connections: at once after a change of a session or user, otherwise in turn.

A note about a change carries no rights. Each process reads the database, so a note that is lost,
late or forged does no harm. Only a logout takes effect without a query.
"""

import asyncio
import random
import time
from collections.abc import Iterable
from contextlib import suppress
from contextvars import Context
from typing import Any

from django.db import Error as DatabaseError

from ...conf import config
from ...logs import get_logger
from ...models import Sanction
from ...store import presence
from ...store.accounts import tokens
from ...store.accounts.account_status import AccountStatus, account_statuses, is_known
from ...store.accounts.identity import Authentication
from ...store.accounts.sessions import are_rows
from ...store.accounts.visitor import Visitor
from ...store.messages import slow_mode
from ...store.moderation import actions, names, sanctions
from ...store.moderation.names import Named
from ...store.rooms import rights
from ...wire.errors import CloseCode, Disconnect
from ..bus.notes import Cause, Revalidate
from ..database.executor import Database
from .connection import Connection
from .site_sanctions import Clearance, SiteSanctions

__all__ = ["Revalidator"]

logger = get_logger("realtime.revalidation")

EARLY_SECONDS = 5.0
"""The time that a revalidation may take: each connection is due that much earlier."""
START_SECONDS = 1.0
"""The longest time that the start of a process waits for the first queries."""
CONNECTIONS_AT_ONCE = 500
"""The most connections that one set of queries covers."""
SESSIONS_AT_ONCE = 50
"""The same if the session engine needs a query for each session."""
RETURN_SECONDS = 1.0
"""After this time, a browser whose session was renewed has its new cookie."""
FILL_SECONDS = 60 * 60.0
"""The pause between two searches for names that were changed without a signal."""
FILL_PAUSE_SECONDS = 0.02
"""The pause between two chunks of such a search, so that other jobs get a turn."""
REMOVE_SECONDS = 60.0
"""The pause between two removals of expired rows."""


class _Tracked:
    """A connection, the results of its last revalidation, and the time of the next one."""

    __slots__ = ("connection", "due_at", "facts", "sanctions", "user_id")

    def __init__(self, connection: Connection, due_at: float) -> None:
        self.connection = connection
        self.user_id = connection.identity.user_id
        self.facts: Any = None
        self.sanctions: set[Any] | None = None
        self.due_at = due_at


class Revalidator:
    """Tracks and revalidates all authenticated connections of a process."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tracked: dict[str, _Tracked] = {}
        self._changed: set[_Tracked] = set()
        self._rights_seq: int | None = None
        self.site_sanctions = SiteSanctions(db)
        self._removed_at = time.monotonic()
        self._filled_at = -FILL_SECONDS
        self._changed_task: asyncio.Task[None] | None = None
        self._tick_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Read the counter of rights; if that fails, the first tick revalidates all connections."""
        with suppress(DatabaseError, TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                self._rights_seq = await self._db.read(rights.all_rights_seq)
                await self.site_sanctions.refresh()

    def connections(self) -> list[Connection]:
        """All connections of the process that have authenticated."""
        return [one.connection for one in self._tracked.values()]

    def track(self, connection: Connection, clearance: Clearance | None) -> None:
        """Register a connection for revalidation; again when its identity or credential changes.

        If its clearance is missing or not current any more, the next tick checks it.
        """
        is_checked = self.site_sanctions.is_current(clearance)
        known = self._tracked.get(connection.id)
        if known is None:
            connection.acquire(self.untrack)
        due_at = time.monotonic() + _interval() if is_checked else 0.0
        one = self._tracked[connection.id] = _Tracked(connection, due_at)
        if is_checked and not self.site_sanctions.are_any:
            one.sanctions = set()
        if known is not None and known.user_id == one.user_id:
            one.facts, one.sanctions = known.facts, known.sanctions

    def untrack(self, connection: Connection) -> None:
        """Stop revalidating a connection."""
        self._tracked.pop(connection.id, None)

    def tick(self) -> None:
        """Revalidate the connections that are due, unless the last tick still runs."""
        if self._tick_task is None or self._tick_task.done():
            self._tick_task = self._spawn(self._revalidate_due())

    def on_change(self, connections: Iterable[Connection], note: Revalidate) -> None:
        """Revalidate those of the connections that a note concerns."""
        changed = [self._tracked[one.id] for one in connections if one.id in self._tracked]
        which = note.which
        match note.cause:
            case Cause.USER | Cause.SANCTION:
                self._revalidate_soon(changed)
            case Cause.SITE:
                self.site_sanctions.change()
                # A note about a user does not reach a connection that has another user now.
                self._revalidate_soon(one for one in changed if one.connection.identity.formerly)
            case Cause.RIGHTS:
                self._spawn(self._check_rights())
            case Cause.REVOCATION:
                self._revalidate_soon(
                    one for one in changed if one.connection.credential.token_id == which
                )
            case Cause.LOGOUT:
                for one in changed:
                    if one.connection.credential.is_of_session(which):
                        _expire(one.connection)

    def stop(self) -> None:
        """Cancel all tasks."""
        for task in self._tasks:
            task.cancel()

    async def _revalidate_due(self) -> None:
        await self.site_sanctions.refresh()
        await self._check_rights()
        now = time.monotonic()
        await self._revalidate([one for one in self._tracked.values() if one.due_at <= now])
        if now - self._removed_at > REMOVE_SECONDS:
            self._removed_at = now
            await self._db.pulse(tokens.delete_expired)
            await self._db.pulse(slow_mode.delete_old_voices)
            await self._db.pulse(presence.delete_old_addresses)
            await self._db.pulse(actions.delete_ended, config().ended_sanction_days)
        if now - self._filled_at > FILL_SECONDS:
            self._filled_at = now
            self._spawn(self._fill_names())

    async def _fill_names(self) -> None:
        at: tuple[Any, int] | None = (None, 0)
        while at is not None:
            at = await self._db.write_blocking(names.fill, *at)
            await asyncio.sleep(FILL_PAUSE_SECONDS)

    def _revalidate_soon(self, changed: Iterable[_Tracked]) -> None:
        """Revalidate changed connections; those that change meanwhile form the next batch."""
        for one in changed:
            one.due_at = 0.0  # the next tick repeats it if this revalidation fails
            self._changed.add(one)
        if self._changed and (self._changed_task is None or self._changed_task.done()):
            self._changed_task = self._spawn(self._revalidate_changed())

    async def _revalidate_changed(self) -> None:
        while self._changed:
            changed, self._changed = self._changed, set()
            await self._revalidate(list(changed))

    async def _check_rights(self) -> None:
        seq = await self._db.read(rights.all_rights_seq)
        if seq != self._rights_seq:
            await self._revalidate(list(self._tracked.values()), is_wide=True)
        self._rights_seq = seq

    async def _revalidate(self, tracked: list[_Tracked], *, is_wide: bool = False) -> None:
        """Revalidate some connections; with `is_wide`, all their users count as changed.

        That is for changes that cannot be compared, such as rights of a group. A user that is
        revalidated for the first time counts as changed too, as there is nothing to compare with.
        """
        await self._check_sanctions(tracked)
        await self._check_revoked(one for one in tracked if not is_known(one.connection.identity))
        await self._check_names(tracked)
        known = [one for one in tracked if is_known(one.connection.identity)]
        size = CONNECTIONS_AT_ONCE if are_rows() else SESSIONS_AT_ONCE
        for start in range(0, len(known), size):
            chunk = {one.connection.id: one for one in known[start : start + size]}
            authentications = {name: _authentication(one) for name, one in chunk.items()}
            found = await self._db.read(account_statuses, authentications)
            for name, status in found.items():
                if self._tracked.get(name) is chunk[name]:
                    self._apply_account(chunk[name], status, is_wide)

    async def _check_sanctions(self, tracked: list[_Tracked]) -> None:
        for start in range(0, len(tracked), CONNECTIONS_AT_ONCE):
            chunk = {_visitor(one): one for one in tracked[start : start + CONNECTIONS_AT_ONCE]}
            found = await self._db.read(sanctions.on_site, chunk)
            for visitor, one in chunk.items():
                if self._tracked.get(one.connection.id) is one:
                    self._apply_sanctions(one, found.get(visitor, []))

    async def _check_revoked(self, tracked: Iterable[_Tracked]) -> None:
        """Close connections of guests whose tokens are revoked; users have an account status."""
        guests = [one for one in tracked if one.connection.credential.token_id]
        for start in range(0, len(guests), CONNECTIONS_AT_ONCE):
            chunk = guests[start : start + CONNECTIONS_AT_ONCE]
            ids = {one.connection.credential.token_id for one in chunk}
            gone = await self._db.read(tokens.revoked, ids)
            for one in chunk:
                if one.connection.credential.token_id in gone:
                    _expire(one.connection)

    async def _check_names(self, tracked: list[_Tracked]) -> None:
        """Close connections of guests whose name a user has now; they get another on reconnect."""
        guests = [one for one in tracked if names.look_of_guest(one.connection.identity)]
        for start in range(0, len(guests), CONNECTIONS_AT_ONCE):
            chunk = {_named(one): one for one in guests[start : start + CONNECTIONS_AT_ONCE]}
            for named in await self._db.read(names.problems, chunk):
                if (one := chunk[named]).connection.identity is named.identity:
                    _expire(one.connection)

    def _apply_sanctions(self, one: _Tracked, found: list[Sanction]) -> None:
        if (ban := sanctions.ban_among(found)) is not None:
            one.connection.close(
                Disconnect(
                    CloseCode.KICKED, sanctions.describe(ban, *one.connection.identity.user_ids)
                )
            )
            return
        known = {(row.pk, row.ends_at, row.reason) for row in found}
        before, one.sanctions = one.sanctions, known
        if not is_known(one.connection.identity):  # the account of a user is checked next
            one.due_at = time.monotonic() + _interval()
        if one.sanctions != before:
            one.connection.events.on_rights_changed()

    def _apply_account(self, one: _Tracked, status: AccountStatus | None, is_wide: bool) -> None:
        if status is None:
            _expire(one.connection)
            return
        one.due_at = time.monotonic() + _interval()
        before, one.facts = one.facts, status.facts
        if is_wide or status.facts != before:
            one.connection.events.on_user_changed(status.identity)

    def _spawn(self, coroutine: Any) -> asyncio.Task[None]:
        # In an empty context, because it belongs to no request.
        loop, context = asyncio.get_running_loop(), Context()
        task: asyncio.Task[None] = loop.create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.warning("revalidation of open connections failed: %r", error)


def _visitor(one: _Tracked) -> Visitor:
    return Visitor(one.connection.identity, one.connection.address)


def _named(one: _Tracked) -> Named:
    return Named(one.connection.identity, one.connection.identity.username)


def _authentication(one: _Tracked) -> Authentication:
    return Authentication(one.connection.identity, one.connection.credential)


def _interval() -> float:
    """Return a random interval, so that connections opened together are not due together."""
    settings = config()
    most = max(0.0, settings.recheck_seconds - settings.pulse_seconds - EARLY_SECONDS)
    return random.uniform(most / 2, most)  # noqa: S311


def _expire(connection: Connection) -> None:
    connection.close(Disconnect(CloseCode.EXPIRED, retry_after=RETURN_SECONDS))
