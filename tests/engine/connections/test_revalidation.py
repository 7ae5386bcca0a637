"""Connections are revalidated in time, together with others, and after notes about changes."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from threading import Event
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from pytest_django.fixtures import Settings

from harness.waiting import eventually
from realtime.engine.bus.notes import Cause, Revalidate
from realtime.engine.connections import revalidation as module
from realtime.engine.connections.revalidation import Revalidator
from realtime.engine.connections.site_sanctions import Clearance
from realtime.engine.database.executor import Database
from realtime.store.accounts.account_status import AccountStatus
from realtime.store.accounts.identity import Authentication, Credential, Identity, digest_of
from realtime.store.accounts.visitor import Visitor
from tests.engine.ends import End

USER = Revalidate(Cause.USER, "")
CHECKED = Clearance(0)
"""Of a client that was checked while nothing had changed."""


class Fake(End):
    """A connection of a user, and what happens to it."""

    def __init__(self, pk: int, credential: Credential = Credential()) -> None:  # noqa: B008 - it is frozen
        super().__init__(f"node.{pk}")
        user = User(pk=pk, username=f"user-{pk}")
        user._state.adding = False
        self.id = self.connection.id
        self.connection.identity = Identity.of(user)
        self.connection.credential = credential
        self.renewed: list[Any] = []

    @property
    def ended(self) -> list[int]:
        return [why.code for why in self.ends]

    def on_user_changed(self, identity: Any) -> None:
        self.renewed.append(identity)


class FakeDatabase:
    """A database for tests: its answers, and the connections of each query."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.queries: list[list[str]] = []
        self.seq = 0
        self.are_sanctions = False
        self.error: Exception | None = None
        self.is_slow = Event()
        self.may_answer = Event()
        self.may_answer.set()

    def account_statuses(
        self, logins: dict[str, Authentication]
    ) -> dict[str, AccountStatus | None]:
        self.is_slow.set()
        self.may_answer.wait(10)
        if self.error is not None:
            raise self.error
        self.queries.append(list(logins))
        found = {name: self.facts.get(name, 0) for name in logins}
        return {
            name: None if facts is None else AccountStatus(f"fresh {name}", facts)
            for name, facts in found.items()
            if facts != "unknown"
        }

    def everywhere(self) -> int:
        return self.seq

    def on_site(self, visitors: Iterable[Visitor]) -> dict[Visitor, list[Any]]:
        return {}


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> FakeDatabase:
    made = FakeDatabase()
    monkeypatch.setattr(module, "account_statuses", made.account_statuses)
    monkeypatch.setattr(module.rights, "all_rights_seq", made.everywhere)
    monkeypatch.setattr(module.sanctions, "on_site", made.on_site)
    monkeypatch.setattr(module.sanctions, "are_any_on_site", lambda: made.are_sanctions)
    return made


@pytest.fixture
async def revalidator(database: FakeDatabase) -> AsyncIterator[Revalidator]:
    db = Database()
    made = Revalidator(db)
    await made.start()
    yield made
    made.stop()
    await db.stop()


async def tick(revalidator: Revalidator) -> None:
    revalidator.tick()
    await eventually(lambda: not revalidator._tasks)


def tracked(revalidator: Revalidator, number: int) -> list[Fake]:
    """Connections that the next tick revalidates."""
    made = [Fake(one) for one in range(1, number + 1)]
    for one in made:
        revalidator.track(one.connection, None)
    return made


async def known(revalidator: Revalidator, number: int) -> list[Fake]:
    """Connections that were revalidated once, without the events of that."""
    made = tracked(revalidator, number)
    await tick(revalidator)
    for one in made:
        one.renewed.clear()
    return made


async def test_many_connections_are_revalidated_in_few_queries(
    revalidator: Revalidator, database: FakeDatabase
) -> None:
    """Then they are known, and left alone until their turn comes."""
    connections = await known(revalidator, 1200)
    assert [len(names) for names in database.queries] == [500, 500, 200]
    await tick(revalidator)
    assert len(database.queries) == 3
    assert all(one.ended == one.renewed == [] for one in connections)


async def test_a_checked_connection_is_revalidated_in_turn(
    revalidator: Revalidator, database: FakeDatabase
) -> None:
    """Not by the next tick; and the first time its user counts as changed."""
    one = Fake(1)
    revalidator.track(one.connection, CHECKED)
    await tick(revalidator)
    assert database.queries == []
    revalidator._tracked[one.id].due_at = 0
    await tick(revalidator)
    assert len(one.renewed) == 1


async def test_turns_come_within_the_setting_and_not_all_together(
    revalidator: Revalidator, database: FakeDatabase, settings: Settings
) -> None:
    """Less a pulse, and the time of a revalidation."""
    settings.REALTIME = {"RECHECK_SECONDS": 60, "PULSE_SECONDS": 5}
    tracked(revalidator, 100)
    await tick(revalidator)
    left = [one.due_at - time.monotonic() for one in revalidator._tracked.values()]
    assert 20 < min(left) < 35
    assert 40 < max(left) <= 50
    settings.REALTIME = {"RECHECK_SECONDS": 1, "PULSE_SECONDS": 5}
    assert module._interval() == 0


async def test_lost_accounts_are_closed_and_changed_users_are_replaced(
    revalidator: Revalidator, database: FakeDatabase
) -> None:
    """By the pulse, compared with what it found before."""
    good, gone, changed = await known(revalidator, 3)
    database.facts = {gone.id: None, changed.id: 1}
    for one in revalidator._tracked.values():
        one.due_at = 0
    await tick(revalidator)
    assert (good.ended, gone.ended, changed.ended) == ([], [4005], [])
    assert (good.renewed, changed.renewed) == ([], [f"fresh {changed.id}"])


async def test_a_note_before_the_first_revalidation_counts_as_a_change(
    revalidator: Revalidator, database: FakeDatabase
) -> None:
    """There is nothing to compare it with."""
    [one] = tracked(revalidator, 1)
    revalidator.on_change([one.connection, Fake(2).connection], USER)
    await eventually(lambda: one.renewed)
    revalidator.on_change([one.connection], USER)
    await eventually(lambda: not revalidator._tasks)
    assert len(one.renewed) == 1


async def test_a_note_during_a_revalidation_causes_another_one(
    revalidator: Revalidator, database: FakeDatabase
) -> None:
    """And only one, however many notes come."""
    [one] = tracked(revalidator, 1)
    for _ in range(50):
        revalidator.on_change([one.connection], USER)
    await asyncio.sleep(0)
    for _ in range(50):
        revalidator.on_change([one.connection], USER)
    await eventually(lambda: not revalidator._tasks)
    assert len(database.queries) == 2


async def test_only_those_of_the_session_or_token_are_concerned(
    revalidator: Revalidator, database: FakeDatabase
) -> None:
    """A logout takes effect without a query; a revocation is looked up."""
    session = Fake(1, Credential(session="key", session_digest=digest_of("key")))
    token, other = Fake(2, Credential(token_id="one")), Fake(3, Credential(token_id="two"))
    for one in (session, token, other):
        revalidator.track(one.connection, CHECKED)
    connections = [one.connection for one in (session, token, other)]
    digest = session.connection.credential.session_digest
    revalidator.on_change(connections, Revalidate(Cause.LOGOUT, digest))
    assert (session.ended, token.ended, database.queries) == ([4005], [], [])
    database.facts[token.id] = database.facts[other.id] = None
    revalidator.on_change(connections, Revalidate(Cause.REVOCATION, "one"))
    await eventually(lambda: token.ended)
    assert other.ended == []
    assert database.queries == [[token.id]]


async def test_all_connections_are_revalidated_when_the_counter_has_moved(
    revalidator: Revalidator, database: FakeDatabase
) -> None:
    """By a note or by a tick; a forged note costs one query and changes nothing."""
    connections = await known(revalidator, 3)
    revalidator.on_change([], Revalidate(Cause.RIGHTS, ""))
    await eventually(lambda: not revalidator._tasks)
    assert not any(one.renewed for one in connections)
    for seq in (1, 2):
        database.seq = seq
        if seq == 1:
            revalidator.on_change([], Revalidate(Cause.RIGHTS, ""))
            await eventually(lambda: not revalidator._tasks)
        else:
            await tick(revalidator)
        assert all(len(one.renewed) == seq for one in connections)


async def test_rights_that_were_unknown_at_the_start_are_read(database: FakeDatabase) -> None:
    """They may have changed since the first connection, so the first tick revalidates all."""
    db = Database()
    revalidator = Revalidator(db)
    connections = tracked(revalidator, 2)
    await tick(revalidator)
    assert all(len(one.renewed) == 1 for one in connections)
    revalidator.stop()
    await db.stop()


async def test_bans_of_the_site_are_known_of_from_a_note_or_the_pulse(
    revalidator: Revalidator, database: FakeDatabase
) -> None:
    """While there are none, new connections need no query."""
    assert not revalidator.site_sanctions.are_any
    revalidator.on_change([], Revalidate(Cause.SITE, ""))
    assert revalidator.site_sanctions.are_any
    await tick(revalidator)
    assert not revalidator.site_sanctions.are_any  # it was lifted
    database.are_sanctions = True
    await tick(revalidator)
    assert revalidator.site_sanctions.are_any


async def test_a_database_that_is_away_closes_nothing_and_is_queried_again(
    revalidator: Revalidator, database: FakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """No note is lost meanwhile."""
    [one] = tracked(revalidator, 1)
    await tick(revalidator)
    database.error, database.facts[one.id] = OperationalError("away"), None
    revalidator.on_change([one.connection], USER)
    await eventually(lambda: not revalidator._tasks)
    await tick(revalidator)
    assert one.ended == []
    assert "revalidation of open connections failed" in caplog.text
    database.error = None
    await tick(revalidator)
    assert one.ended == [4005]


async def test_an_account_without_an_answer_stays_and_is_queried_again(
    revalidator: Revalidator, database: FakeDatabase
) -> None:
    """At each pulse."""
    [one] = tracked(revalidator, 1)
    database.facts[one.id] = "unknown"
    await tick(revalidator)
    await tick(revalidator)
    assert one.ended == []
    assert len(database.queries) == 2


async def test_an_answer_about_an_earlier_login_does_not_count(
    revalidator: Revalidator, database: FakeDatabase
) -> None:
    """A new token may arrive during the query for the old one."""
    [one] = tracked(revalidator, 1)
    database.facts[one.id] = None
    database.may_answer.clear()
    revalidator.tick()
    await eventually(database.is_slow.is_set)
    revalidator.track(one.connection, CHECKED)
    database.may_answer.set()
    await eventually(lambda: not revalidator._tasks)
    assert one.ended == []
    revalidator.untrack(one.connection)
    await tick(revalidator)
    assert one.ended == []


async def test_guests_cause_no_queries(revalidator: Revalidator, database: FakeDatabase) -> None:
    """The database knows nothing of them."""
    guest = Fake(1)
    guest.connection.identity = Identity("guest:1", "Ada")
    revalidator.track(guest.connection, CHECKED)
    await tick(revalidator)
    assert database.queries == []
