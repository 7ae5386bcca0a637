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
from realtime.engine.connections.revalidation import Guard
from realtime.engine.database.executor import Database
from realtime.store.accounts.account_status import Standing
from realtime.store.accounts.identity import Identity, Proof, SignIn
from realtime.store.accounts.visitor import Visitor
from realtime.wire.errors import Disconnect
from tests.client import eventually


class Fake:
    """A connection of a user, and what happens to it."""

    def __init__(self, pk: int, proof: Proof = Proof()) -> None:  # noqa: B008 - it is frozen
        user = User(pk=pk, username=f"user-{pk}")
        user._state.adding = False
        self.id = f"node.{pk}"
        self.who = Identity.of(user)
        self.proof = proof
        self.address = ""
        self.ended: list[int] = []
        self.renewed: list[Any] = []

    def end(self, why: Disconnect) -> None:
        self.ended.append(why.code)

    def renew(self, user: Any) -> None:
        self.renewed.append(user)

    def rights_changed(self) -> None:
        """Of bans and mutes, which there are none of here."""


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

    def standings(self, asked: dict[str, SignIn]) -> dict[str, Standing | None]:
        self.is_slow.set()
        self.may_answer.wait(10)
        if self.error is not None:
            raise self.error
        self.asked.append(list(asked))
        told = {name: self.facts.get(name, 0) for name in asked}
        return {
            name: None if facts is None else Standing(f"fresh {name}", facts)
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
    monkeypatch.setattr(module, "standings", made.standings)
    monkeypatch.setattr(module.rights, "everywhere", made.everywhere)
    monkeypatch.setattr(module.sanctions, "on_site", made.on_site)
    monkeypatch.setattr(module.sanctions, "are_any_on_site", lambda: made.are_sanctions)
    return made


@pytest.fixture
async def guard(asked: Asked) -> AsyncIterator[Guard]:
    db = Database()
    made = Guard(db)
    await made.start()
    yield made
    made.stop()
    await db.stop()


async def beat(guard: Guard) -> None:
    guard.beat()
    await eventually(lambda: not guard._tasks)


def watch(guard: Guard, number: int) -> list[Fake]:
    """Connections that the next pulse looks at."""
    made = [Fake(one) for one in range(1, number + 1)]
    for one in made:
        guard.watch(one, is_checked=False)
    return made


async def known(guard: Guard, number: int) -> list[Fake]:
    """Connections that were looked at once, and what was renewed by that is forgotten."""
    made = watch(guard, number)
    await beat(guard)
    for one in made:
        one.renewed.clear()
    return made


async def test_many_are_looked_at_in_few_questions(guard: Guard, asked: Asked) -> None:
    """Then they are known, and left alone until their turn comes."""
    connections = await known(guard, 1200)
    assert [len(names) for names in asked.asked] == [500, 500, 200]
    await beat(guard)
    assert len(asked.asked) == 3
    assert all(one.ended == one.renewed == [] for one in connections)


async def test_who_was_checked_on_coming_is_looked_at_in_turn(guard: Guard, asked: Asked) -> None:
    """Not by the next pulse; and at first as one who may have changed meanwhile."""
    one = Fake(1)
    guard.watch(one)
    await beat(guard)
    assert asked.asked == []
    guard._watched[one.id].due_at = 0
    await beat(guard)
    assert len(one.renewed) == 1


async def test_turns_come_within_the_setting_and_not_all_together(
    guard: Guard, asked: Asked, settings: Settings
) -> None:
    """Less a pulse, and what a look may take."""
    settings.REALTIME = {"RECHECK_SECONDS": 60, "PULSE_SECONDS": 5}
    watch(guard, 100)
    await beat(guard)
    left = [one.due_at - time.monotonic() for one in guard._watched.values()]
    assert 20 < min(left) < 35
    assert 40 < max(left) <= 50
    settings.REALTIME = {"RECHECK_SECONDS": 1, "PULSE_SECONDS": 5}
    assert module._look_seconds() == 0


async def test_who_may_not_go_on_is_ended_and_who_changed_is_renewed(
    guard: Guard, asked: Asked
) -> None:
    """By the pulse, compared with what it found before."""
    good, gone, changed = await known(guard, 3)
    asked.facts = {gone.id: None, changed.id: 1}
    for one in guard._watched.values():
        one.due_at = 0
    await beat(guard)
    assert (good.ended, gone.ended, changed.ended) == ([], [4005], [])
    assert (good.renewed, changed.renewed) == ([], [f"fresh {changed.id}"])


async def test_what_is_told_before_the_first_look_counts_as_changed(
    guard: Guard, asked: Asked
) -> None:
    """There is nothing to compare it with."""
    [one] = watch(guard, 1)
    guard.hear([one.id, "node.gone"], "user", "")
    await eventually(lambda: one.renewed)
    guard.hear([one.id], "user", "")
    await eventually(lambda: not guard._tasks)
    assert len(one.renewed) == 1


async def test_what_is_told_while_a_look_goes_on_is_looked_at_once_more(
    guard: Guard, asked: Asked
) -> None:
    """And only once, however often it is told."""
    [one] = watch(guard, 1)
    for _ in range(50):
        guard.hear([one.id], "user", "")
    await asyncio.sleep(0)
    for _ in range(50):
        guard.hear([one.id], "user", "")
    await eventually(lambda: not guard._tasks)
    assert len(asked.asked) == 2


async def test_only_those_of_the_session_or_token_are_concerned(guard: Guard, asked: Asked) -> None:
    """A logout is believed; a revocation is looked up."""
    session = Fake(1, Proof.of_session("key"))
    token, other = Fake(2, Proof(token_id="one")), Fake(3, Proof(token_id="two"))
    for one in (session, token, other):
        guard.watch(one)
    names = [one.id for one in (session, token, other)]
    guard.hear(names, "session", session.proof.session_digest)
    assert (session.ended, token.ended, asked.asked) == ([4005], [], [])
    asked.facts[token.id] = asked.facts[other.id] = None
    guard.hear(names, "token", "one")
    await eventually(lambda: token.ended)
    assert other.ended == []
    assert asked.asked == [[token.id]]


async def test_rights_of_everybody_are_asked_for_again_when_the_counter_has_moved(
    guard: Guard, asked: Asked
) -> None:
    """Told, or found by the pulse; a note that is forged asks once and finds nothing."""
    connections = await known(guard, 3)
    guard.hear([], "rights", "")
    await eventually(lambda: not guard._tasks)
    assert not any(one.renewed for one in connections)
    for seq in (1, 2):
        asked.seq = seq
        if seq == 1:
            guard.hear([], "rights", "")
            await eventually(lambda: not guard._tasks)
        else:
            await beat(guard)
        assert all(len(one.renewed) == seq for one in connections)


async def test_rights_that_were_not_known_at_the_start_are_asked_for(asked: Asked) -> None:
    """They may have changed since somebody came: what the pulse finds first is no excuse."""
    db = Database()
    guard = Guard(db)
    connections = watch(guard, 2)
    await beat(guard)
    assert all(len(one.renewed) == 1 for one in connections)
    guard.stop()
    await db.stop()


async def test_bans_of_the_site_are_known_of_from_a_note_or_the_pulse(
    guard: Guard, asked: Asked
) -> None:
    """While there are none, nobody who comes is asked about."""
    assert not guard.are_sanctions
    guard.hear([], "site", "")
    assert guard.are_sanctions
    await beat(guard)
    assert not guard.are_sanctions  # it was lifted
    asked.are_sanctions = True
    await beat(guard)
    assert guard.are_sanctions


async def test_a_database_that_is_away_ends_nobody_and_is_asked_again(
    guard: Guard, asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing that was told is forgotten meanwhile."""
    [one] = watch(guard, 1)
    await beat(guard)
    asked.error, asked.facts[one.id] = OperationalError("away"), None
    guard.hear([one.id], "user", "")
    await eventually(lambda: not guard._tasks)
    await beat(guard)
    assert one.ended == []
    assert "not known who may still be here" in caplog.text
    asked.error = None
    await beat(guard)
    assert one.ended == [4005]


async def test_who_cannot_be_judged_stays_and_is_asked_again(guard: Guard, asked: Asked) -> None:
    """At each pulse."""
    [one] = watch(guard, 1)
    asked.facts[one.id] = "unknown"
    await beat(guard)
    await beat(guard)
    assert one.ended == []
    assert len(asked.asked) == 2


async def test_an_answer_about_an_earlier_login_does_not_count(guard: Guard, asked: Asked) -> None:
    """A new token may have come while the database was asked about the old one."""
    [one] = watch(guard, 1)
    asked.facts[one.id] = None
    asked.may_answer.clear()
    guard.beat()
    await eventually(asked.is_slow.is_set)
    guard.watch(one)
    asked.may_answer.set()
    await eventually(lambda: not guard._tasks)
    assert one.ended == []
    guard.forget(one.id)
    await beat(guard)
    assert one.ended == []


async def test_guests_are_not_asked_for(guard: Guard, asked: Asked) -> None:
    """The database knows nothing of them."""
    guest = Fake(1)
    guest.who = Identity("guest:1", "Ada")
    guard.watch(guest)
    await beat(guard)
    assert asked.asked == []
