"""Clients that connect are checked against the bans of the site, and that check may grow old."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from django.db import OperationalError

from realtime.engine.connections import site_sanctions as module
from realtime.engine.connections.site_sanctions import SiteSanctions
from realtime.engine.database.executor import Database
from realtime.models import Sanction
from realtime.store.accounts.identity import Identity
from realtime.store.accounts.visitor import Visitor
from realtime.wire.errors import CloseCode, Disconnect

ADA = Visitor(Identity("guest:a", "Ada"), "")


class Asked:
    """Stands for the database: whom it says to be banned, and how often it was asked."""

    def __init__(self) -> None:
        self.banned: set[Visitor] = set()
        self.error: Exception | None = None
        self.number = 0

    def on_site(self, asked: Iterable[Visitor]) -> dict[Visitor, list[Any]]:
        self.number += 1
        if self.error is not None:
            raise self.error
        ban = Sanction(kind="ban", user_key="guest:a", reason="spam")
        return {one: [ban] for one in asked if one in self.banned}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked()
    monkeypatch.setattr(module.sanctions, "on_site", made.on_site)
    monkeypatch.setattr(module.sanctions, "are_any_on_site", lambda: bool(made.banned))
    return made


@pytest.fixture
async def known(asked: Asked) -> AsyncIterator[SiteSanctions]:
    db = Database()
    yield SiteSanctions(db)
    await db.stop()


async def test_a_banned_client_is_refused_with_the_reason(
    known: SiteSanctions, asked: Asked
) -> None:
    asked.banned.add(ADA)
    with pytest.raises(Disconnect) as caught:
        await known.check(ADA)
    assert caught.value.code == CloseCode.KICKED
    assert "spam" in caught.value.reason


async def test_nothing_is_asked_while_there_are_none(known: SiteSanctions, asked: Asked) -> None:
    await known.refresh()
    assert known.is_current(await known.check(ADA))
    assert asked.number == 0
    known.change()
    await known.check(ADA)
    assert asked.number == 1


async def test_a_check_is_not_current_after_a_change(known: SiteSanctions, asked: Asked) -> None:
    clearance = await known.check(ADA)
    assert known.is_current(clearance)
    known.change()
    assert not known.is_current(clearance)


async def test_a_client_is_admitted_unchecked_while_the_database_is_away(
    known: SiteSanctions, asked: Asked
) -> None:
    asked.error = OperationalError("away")
    assert not known.is_current(await known.check(ADA))


async def test_a_change_that_is_heard_while_the_database_is_asked_counts(
    known: SiteSanctions, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer may be older than the change."""

    def none() -> bool:
        known.change()
        return False

    monkeypatch.setattr(module.sanctions, "are_any_on_site", none)
    await known.refresh()
    assert known.are_any
