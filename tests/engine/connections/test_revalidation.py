"""Each connection is looked at in time, together with others, and when something is told."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from threading import Event
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from pytest_django.fixtures import Settings

from realtime.engine.connections import revalidation as module
from realtime.engine.connections.revalidation import Revalidator
from realtime.engine.database.executor import Database
from realtime.store.accounts.account_status import AccountStatus
from realtime.store.accounts.identity import Authentication, Credential, Identity
from realtime.store.accounts.visitor import Visitor
from tests.client import eventually
from tests.engine.ends import End


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

    def on_user_changed(self, user: Any) -> None:
        self.renewed.append(user)


class Asked:
    """Stands for the database: what it says of each, and for whom it was asked."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.asked: list[list[str]] = []
        self.seq = 0
        self.are_sanctions = False
        self.error: Exception | None = None
        self.is_slow = Event()
        self.may_answer = Event()
        self.may_answer.set()

    def account_statuses(self, asked: dict[str, Authentication]) -> dict[str, AccountStatus | None]:
        self.is_slow.set()
        self.may_answer.wait(10)
        if self.error is not None:
            raise self.error
        self.asked.append(list(asked))
        told = {name: self.facts.get(name, 0) for name in asked}
        return {
            name: None if facts is None else AccountStatus(f"fresh {name}", facts)
            for name, facts in told.items()
            if facts != "unknown"
        }

    def everywhere(self) -> int:
        return self.seq

    def on_site(self, asked: Iterable[Visitor]) -> dict[Visitor, list[Any]]:
        return {}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked()
    monkeypatch.setattr(module, "account_statuses", made.account_statuses)
    monkeypatch.setattr(module.rights, "everywhere", made.everywhere)
    monkeypatch.setattr(module.sanctions, "on_site", made.on_site)
    monkeypatch.setattr(module.sanctions, "are_any_on_site", lambda: made.are_sanctions)
    return made


@pytest.fixture
async def revalidator(asked: Asked) -> AsyncIterator[Revalidator]:
    db = Database()
    made = Revalidator(db)
    await made.start()
    yield made
    made.stop()
    await db.stop()


async def beat(revalidator: Revalidator) -> None:
    revalidator.tick()
    await eventually(lambda: not revalidator._tasks)


def watch(revalidator: Revalidator, number: int) -> list[Fake]:
    """Connections that the next pulse looks at."""
    made = [Fake(one) for one in range(1, number + 1)]
    for one in made:
        revalidator.track(one.connection, is_checked=False)
    return made


async def known(revalidator: Revalidator, number: int) -> list[Fake]:
    """Connections that were looked at once, and what was renewed by that is forgotten."""
    made = watch(revalidator, number)
    await beat(revalidator)
    for one in made:
        one.renewed.clear()
    return made


async def test_many_are_looked_at_in_few_questions(revalidator: Revalidator, asked: Asked) -> None:
    """Then they are known, and left alone until their turn comes."""
    connections = await known(revalidator, 1200)
    assert [len(names) for names in asked.asked] == [500, 500, 200]
    await beat(revalidator)
    assert len(asked.asked) == 3
    assert all(one.ended == one.renewed == [] for one in connections)


async def test_who_was_checked_on_coming_is_looked_at_in_turn(
    revalidator: Revalidator, asked: Asked
) -> None:
    """Not by the next pulse; and at first as one who may have changed meanwhile."""
    one = Fake(1)
    revalidator.track(one.connection)
    await beat(revalidator)
    assert asked.asked == []
    revalidator._tracked[one.id].due_at = 0
    await beat(revalidator)
    assert len(one.renewed) == 1


async def test_turns_come_within_the_setting_and_not_all_together(
    revalidator: Revalidator, asked: Asked, settings: Settings
) -> None:
    """Less a pulse, and what a look may take."""
    settings.REALTIME = {"RECHECK_SECONDS": 60, "PULSE_SECONDS": 5}
    watch(revalidator, 100)
    await beat(revalidator)
    left = [one.due_at - time.monotonic() for one in revalidator._tracked.values()]
    assert 20 < min(left) < 35
    assert 40 < max(left) <= 50
    settings.REALTIME = {"RECHECK_SECONDS": 1, "PULSE_SECONDS": 5}
    assert module._interval() == 0


async def test_who_may_not_go_on_is_ended_and_who_changed_is_renewed(
    revalidator: Revalidator, asked: Asked
) -> None:
    """By the pulse, compared with what it found before."""
    good, gone, changed = await known(revalidator, 3)
    asked.facts = {gone.id: None, changed.id: 1}
    for one in revalidator._tracked.values():
        one.due_at = 0
    await beat(revalidator)
    assert (good.ended, gone.ended, changed.ended) == ([], [4005], [])
    assert (good.renewed, changed.renewed) == ([], [f"fresh {changed.id}"])


async def test_what_is_told_before_the_first_look_counts_as_changed(
    revalidator: Revalidator, asked: Asked
) -> None:
    """There is nothing to compare it with."""
    [one] = watch(revalidator, 1)
    revalidator.on_change([one.id, "node.gone"], "user", "")
    await eventually(lambda: one.renewed)
    revalidator.on_change([one.id], "user", "")
    await eventually(lambda: not revalidator._tasks)
    assert len(one.renewed) == 1


async def test_what_is_told_while_a_look_goes_on_is_looked_at_once_more(
    revalidator: Revalidator, asked: Asked
) -> None:
    """And only once, however often it is told."""
    [one] = watch(revalidator, 1)
    for _ in range(50):
        revalidator.on_change([one.id], "user", "")
    await asyncio.sleep(0)
    for _ in range(50):
        revalidator.on_change([one.id], "user", "")
    await eventually(lambda: not revalidator._tasks)
    assert len(asked.asked) == 2


async def test_only_those_of_the_session_or_token_are_concerned(
    revalidator: Revalidator, asked: Asked
) -> None:
    """A logout is believed; a revocation is looked up."""
    session = Fake(1, Credential.of_session("key"))
    token, other = Fake(2, Credential(token_id="one")), Fake(3, Credential(token_id="two"))
    for one in (session, token, other):
        revalidator.track(one.connection)
    names = [one.id for one in (session, token, other)]
    revalidator.on_change(names, "session", session.connection.credential.session_digest)
    assert (session.ended, token.ended, asked.asked) == ([4005], [], [])
    asked.facts[token.id] = asked.facts[other.id] = None
    revalidator.on_change(names, "token", "one")
    await eventually(lambda: token.ended)
    assert other.ended == []
    assert asked.asked == [[token.id]]


async def test_rights_of_everybody_are_asked_for_again_when_the_counter_has_moved(
    revalidator: Revalidator, asked: Asked
) -> None:
    """Told, or found by the pulse; a note that is forged asks once and finds nothing."""
    connections = await known(revalidator, 3)
    revalidator.on_change([], "rights", "")
    await eventually(lambda: not revalidator._tasks)
    assert not any(one.renewed for one in connections)
    for seq in (1, 2):
        asked.seq = seq
        if seq == 1:
            revalidator.on_change([], "rights", "")
            await eventually(lambda: not revalidator._tasks)
        else:
            await beat(revalidator)
        assert all(len(one.renewed) == seq for one in connections)


async def test_rights_that_were_not_known_at_the_start_are_asked_for(asked: Asked) -> None:
    """They may have changed since somebody came: what the pulse finds first is no excuse."""
    db = Database()
    revalidator = Revalidator(db)
    connections = watch(revalidator, 2)
    await beat(revalidator)
    assert all(len(one.renewed) == 1 for one in connections)
    revalidator.stop()
    await db.stop()


async def test_bans_of_the_site_are_known_of_from_a_note_or_the_pulse(
    revalidator: Revalidator, asked: Asked
) -> None:
    """While there are none, nobody who comes is asked about."""
    assert not revalidator.are_sanctions
    revalidator.on_change([], "site", "")
    assert revalidator.are_sanctions
    await beat(revalidator)
    assert not revalidator.are_sanctions  # it was lifted
    asked.are_sanctions = True
    await beat(revalidator)
    assert revalidator.are_sanctions


async def test_a_database_that_is_away_ends_nobody_and_is_asked_again(
    revalidator: Revalidator, asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing that was told is forgotten meanwhile."""
    [one] = watch(revalidator, 1)
    await beat(revalidator)
    asked.error, asked.facts[one.id] = OperationalError("away"), None
    revalidator.on_change([one.id], "user", "")
    await eventually(lambda: not revalidator._tasks)
    await beat(revalidator)
    assert one.ended == []
    assert "revalidation of open connections failed" in caplog.text
    asked.error = None
    await beat(revalidator)
    assert one.ended == [4005]


async def test_who_cannot_be_judged_stays_and_is_asked_again(
    revalidator: Revalidator, asked: Asked
) -> None:
    """At each pulse."""
    [one] = watch(revalidator, 1)
    asked.facts[one.id] = "unknown"
    await beat(revalidator)
    await beat(revalidator)
    assert one.ended == []
    assert len(asked.asked) == 2


async def test_an_answer_about_an_earlier_login_does_not_count(
    revalidator: Revalidator, asked: Asked
) -> None:
    """A new token may have come while the database was asked about the old one."""
    [one] = watch(revalidator, 1)
    asked.facts[one.id] = None
    asked.may_answer.clear()
    revalidator.tick()
    await eventually(asked.is_slow.is_set)
    revalidator.track(one.connection)
    asked.may_answer.set()
    await eventually(lambda: not revalidator._tasks)
    assert one.ended == []
    revalidator.untrack(one.connection)
    await beat(revalidator)
    assert one.ended == []


async def test_guests_are_not_asked_for(revalidator: Revalidator, asked: Asked) -> None:
    """The database knows nothing of them."""
    guest = Fake(1)
    guest.connection.identity = Identity("guest:1", "Ada")
    revalidator.track(guest.connection)
    await beat(revalidator)
    assert asked.asked == []
