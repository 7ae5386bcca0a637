"""Tickets: given to whoever is logged in, taken once, and bound to the login they came from."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core import signing
from django.test import Client
from pytest_django.fixtures import Settings

from realtime.auth import tickets
from realtime.auth.tickets import Ticket, issue
from realtime.engine.database.executor import Database
from realtime.models import RevokedToken
from realtime.store.accounts import tokens
from realtime.store.accounts.identity import Authentication

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator[Database]:
    settings.REALTIME = {"DB_THREADS": 0}
    made = Database()
    yield made
    await made.stop()


@pytest.fixture
def ada(db: Database) -> User:
    return get_user_model().objects.create_user("ada", password="old secret")


async def use(ticket: str, db: Database) -> Authentication | None:
    return await Ticket().afrom_token(ticket, db)


async def ticket_of(user: User) -> str:
    return await sync_to_async(issue)(user)


async def test_a_ticket_is_taken_once(db: Database, ada: User) -> None:
    """Whoever has seen it in a log comes too late."""
    ticket = await ticket_of(ada)
    found = await use(ticket, db)
    assert found is not None
    assert (found.identity.user_id, found.identity.username) == (str(ada.pk), "ada")
    assert await use(ticket, db) is None
    assert await use(await ticket_of(ada), db) is not None


async def test_only_that_it_was_used_is_remembered_and_not_for_long(
    db: Database, ada: User
) -> None:
    """A random id, which is forgotten some minutes after the ticket has ended."""
    ticket = await ticket_of(ada)
    await use(ticket, db)
    row = await RevokedToken.objects.aget()
    assert ticket not in row.jti
    assert row.expires_at.timestamp() == pytest.approx(time.time() + 30, abs=5)
    await sync_to_async(tokens.delete_expired)()
    assert await RevokedToken.objects.aexists()
    row.expires_at -= tokens.SKEW * 2
    await row.asave()
    await sync_to_async(tokens.delete_expired)()
    assert not await RevokedToken.objects.aexists()


@pytest.mark.parametrize("change", ["password", "inactive", "deleted"])
async def test_a_ticket_is_void_when_its_user_changes(db: Database, ada: User, change: str) -> None:
    """And is not used up either."""
    ticket = await ticket_of(ada)
    if change == "deleted":
        await get_user_model().objects.all().adelete()
    else:
        ada.set_password("new") if change == "password" else setattr(ada, "is_active", False)
        await ada.asave()
    assert await use(ticket, db) is None
    assert not await RevokedToken.objects.aexists()


async def test_a_ticket_ends(db: Database, ada: User, settings: Settings) -> None:
    """After `TICKET_SECONDS`, and never later than a minute."""
    ticket = await ticket_of(ada)
    settings.REALTIME = {"DB_THREADS": 0, "TICKET_SECONDS": -1}
    assert await use(ticket, db) is None
    settings.REALTIME = {"DB_THREADS": 0, "TICKET_SECONDS": 3600}
    assert tickets.seconds() == 60


async def test_what_else_the_site_has_signed_is_no_ticket(db: Database, ada: User) -> None:
    """Nor what nobody has."""
    told = ["1", str(ada.pk), "", "", None]
    for token in ("", "x", "a:b:c", signing.dumps(told), signing.dumps(told, salt="other")):
        assert await use(token, db) is None


async def test_a_ticket_goes_with_its_session(db: Database, ada: User) -> None:
    """Logged out before it is used, it is no good; what came of it ends when the session would."""
    browser = Client()
    await browser.aforce_login(ada)

    def ask() -> str:
        return str(browser.post("/realtime/ticket/").json()["ticket"])

    first, second = await sync_to_async(ask)(), await sync_to_async(ask)()
    found = await use(first, db)
    assert found is not None
    age = 14 * 86400
    assert found.credential.expires_at == pytest.approx(time.time() + age, abs=60)
    assert found.credential.session == ""
    assert found.credential.token_id == f"session:{found.credential.session_digest}"
    await browser.alogout()  # of Django's test client: it sends no signal
    assert await use(second, db) is not None


async def test_a_real_logout_voids_what_is_not_used_yet(db: Database, ada: User) -> None:
    """Also where no note arrives: the database knows."""
    browser = Client()
    await browser.aforce_login(ada)
    ticket = (await sync_to_async(browser.post)("/realtime/ticket/")).json()["ticket"]
    await sync_to_async(browser.post)("/logout/")
    assert await use(ticket, db) is None


class TestThePage:
    """`POST /realtime/ticket`, with the site's session and its protection against forgery."""

    def test_it_answers_whoever_is_logged_in(self, ada: User) -> None:
        """And is not to be kept by anybody."""
        browser = Client()
        browser.force_login(ada)
        answer = browser.post("/realtime/ticket")
        assert answer.status_code == 200
        assert answer.json().keys() == {"ticket", "expires_in"}
        assert answer.json()["expires_in"] == 30
        assert "no-store" in answer["Cache-Control"]

    def test_others_are_refused(self) -> None:
        """In JSON: scripts ask."""
        answer = Client().post("/realtime/ticket/")
        assert (answer.status_code, answer.json()) == (403, {"error": "not_authenticated"})

    def test_it_cannot_be_asked_for_by_another_site(self, ada: User) -> None:
        """Nor by a link."""
        browser: Any = Client(enforce_csrf_checks=True)
        browser.force_login(ada)
        assert browser.post("/realtime/ticket/").status_code == 403
        assert browser.get("/realtime/ticket/").status_code == 405
