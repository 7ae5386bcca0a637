"""Who a handshake comes from: the scope's user, the session, a token, or nobody known."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db.backends.signals import connection_created
from django.test import Client
from pytest_django.fixtures import Settings
from pytest_django.plugin import DjangoDbBlocker

from harness.site import Sites
from realtime.auth import identify as chain
from realtime.auth.authenticator import Authentication, Authenticator, Credential
from realtime.auth.guests import token_of
from realtime.engine.database.executor import Database
from realtime.store.accounts.identity import Identity, digest_of
from realtime.wire.errors import CloseCode, Disconnect
from tests.store.conftest import emptied

GUEST = Identity("guest:0123456789abcdef", "Grace")


@pytest.fixture(scope="session")
def url(sites: Sites) -> str:
    return sites.database_url("sqlite")


@pytest.fixture(autouse=True)
def database(url: str, django_db_blocker: DjangoDbBlocker, settings: Settings) -> Iterator[None]:
    settings.REALTIME = {"GUESTS": True}
    with emptied(url, django_db_blocker):
        yield


@pytest.fixture
async def db() -> AsyncIterator[Database]:
    made = Database()
    yield made
    await made.stop()


@pytest.fixture
def ada() -> Any:
    return get_user_model().objects.create_user("ada", password="old secret")


@pytest.fixture
def browser(ada: Any) -> Client:
    """A browser in which Ada is logged in."""
    client = Client()
    client.force_login(ada)
    return client


async def identify(scope: dict[str, Any], db: Database) -> Identity:
    """Who it is, without what proves it."""
    found = await chain.identify(scope, db)
    assert found is not None
    return found.identity


def scope(browser: Client | None = None, query: str = "", **headers: str) -> dict[str, Any]:
    found = [(name.encode(), value.encode()) for name, value in headers.items()]
    if browser is not None:
        cookies = "; ".join(f"{key}={one.value}" for key, one in browser.cookies.items())
        found.append((b"cookie", cookies.encode()))
    return {"type": "websocket", "headers": found, "query_string": query.encode()}


async def test_a_session_says_who_it_is(db: Database, browser: Client, ada: Any) -> None:
    """As for every other request of that browser."""
    who = await identify(scope(browser), db)
    assert (who.user_id, who.username, who.is_guest) == (str(ada.pk), "ada", False)


class TestEndedSessions:
    """A cookie of a session that no longer holds makes a guest, never the user."""

    async def test_logged_out(self, db: Database, browser: Client) -> None:
        """The session is gone from the server."""
        made = scope(browser)
        await browser.alogout()
        assert (await identify(made, db)).is_guest

    async def test_password_changed(self, db: Database, browser: Client, ada: Any) -> None:
        """Elsewhere: the session's hash no longer fits."""
        ada.set_password("new secret")
        await ada.asave()
        assert (await identify(scope(browser), db)).is_guest

    async def test_deactivated(self, db: Database, browser: Client, ada: Any) -> None:
        """Nobody who may not log in."""
        ada.is_active = False
        await ada.asave()
        assert (await identify(scope(browser), db)).is_guest

    async def test_deleted(self, db: Database, browser: Client, ada: Any) -> None:
        """There is no such user."""
        await ada.adelete()
        assert (await identify(scope(browser), db)).is_guest

    @pytest.mark.parametrize("cookie", ["sessionid=forged", "sessionid=", "x", "", "é=ü; ;="])
    async def test_forged(self, db: Database, cookie: str) -> None:
        """A cookie that nobody was given."""
        assert (await identify(scope(cookie=cookie), db)).is_guest


async def test_a_user_in_the_scope_wins(db: Database, browser: Client) -> None:
    """Other middleware has decided; our own authenticators are not asked."""
    bob = await get_user_model().objects.acreate_user("bob")
    made = scope(browser, f"token={token_of(GUEST)}") | {"user": bob}
    assert (await identify(made, db)).username == "bob"


async def test_an_anonymous_user_in_the_scope_wins_over_the_session(
    db: Database, browser: Client
) -> None:
    """Then a token or a new guest it is."""
    who = await identify(scope(browser) | {"user": AnonymousUser()}, db)
    assert who.is_guest
    made = scope(browser, f"token={token_of(GUEST)}") | {"user": AnonymousUser()}
    assert await identify(made, db) == GUEST


@pytest.mark.parametrize("where", ["query", "header"])
async def test_a_token_says_who_it_is(db: Database, where: str) -> None:
    """By the address or by a header, which browsers cannot send."""
    token = token_of(GUEST)
    made = (
        scope(query=f"token={token}")
        if where == "query"
        else scope(authorization=f"Bearer {token}")
    )
    assert await identify(made, db) == GUEST
    assert token not in repr(made)


async def test_a_session_wins_over_a_token(db: Database, browser: Client) -> None:
    """Who has logged in is no longer the guest of before."""
    who = await identify(scope(browser, f"token={token_of(GUEST)}"), db)
    assert who.username == "ada"


@pytest.mark.parametrize("query", ["token=forged", "token=%00", "token=%ff", "a=1&token=x&token=y"])
async def test_a_forged_token_is_refused(db: Database, query: str) -> None:
    """It does not make a new guest either."""
    with pytest.raises(Disconnect) as caught:
        await identify(scope(query=query), db)
    assert caught.value.code == CloseCode.UNAUTHENTICATED


async def test_an_empty_token_is_none(db: Database) -> None:
    """A client that has none yet."""
    assert (await identify(scope(query="token="), db)).is_guest


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("token={}", ""),
        ("a=1&token={}&b=2", "a=1&b=2"),
        ("token={}&token={}", ""),
        ("a=%C3%A9&token={}", "a=%C3%A9"),
        ("tok%65n={}", ""),
    ],
)
async def test_the_token_is_taken_out_of_the_scope(db: Database, query: str, left: str) -> None:
    """No log of the address has it; what else was there stays."""
    made = scope(query=query.replace("{}", token_of(GUEST)))
    assert await identify(made, db) == GUEST
    assert made["query_string"] == left.encode()


async def test_without_guests_nobody_is_nobody(db: Database, settings: Settings) -> None:
    """Also a guest's token from before."""
    settings.REALTIME = {"GUESTS": False, "FIRST_MESSAGE_AUTH": False}
    for made in (scope(), scope(query=f"token={token_of(GUEST)}")):
        with pytest.raises(Disconnect) as caught:
            await identify(made, db)
        assert caught.value.code == CloseCode.UNAUTHENTICATED
    with pytest.raises(Disconnect):
        await chain.identify_token(token_of(GUEST), db)


# Nobody known.


@pytest.mark.parametrize(
    ("made", "may_wait"),
    [
        (scope(), True),
        (scope(query="token="), True),
        (scope(query="token=x"), False),
        (scope(cookie="sessionid=ended"), False),
        (scope(cookie="theme=dark"), True),
        (scope(authorization="Bearer x"), False),
    ],
)
async def test_only_who_has_said_nothing_may_say_it_later(
    db: Database, settings: Settings, made: dict[str, Any], may_wait: bool
) -> None:
    """Credentials that are no good are refused at once."""
    settings.REALTIME = {"GUESTS": False}
    if may_wait:
        assert await chain.identify(made, db) is None
    else:
        with pytest.raises(Disconnect):
            await chain.identify(made, db)


# A site's own.


class ApiKey(Authenticator):
    """Whoever knows the word is Ada."""

    def from_token(self, token: str) -> Authentication | None:
        if token != "the word":
            return None
        ada = get_user_model().objects.get(username="ada")
        return Authentication(Identity.of(ada), Credential(token_id="word"))


class Header(Authenticator):
    """A proxy that has asked already."""

    def from_scope(self, scope: dict[str, Any]) -> Authentication | None:
        name = dict(scope["headers"]).get(b"x-user", b"").decode()
        user = get_user_model().objects.filter(username=name).first()
        return Authentication(Identity.of(user)) if user else None


class Broken(Authenticator):
    """Has a bug."""

    def from_token(self, token: str) -> Authentication | None:
        raise ZeroDivisionError


async def test_a_sites_own_authenticators_may_use_the_orm(
    db: Database, settings: Settings, ada: Any
) -> None:
    """In their order; nobody else is asked any more."""
    own = [f"{__name__}.ApiKey", f"{__name__}.Header"]
    settings.REALTIME = {"GUESTS": False, "AUTHENTICATORS": own}
    assert (await identify(scope(query="token=the%20word"), db)).user == ada
    assert (await identify(scope(**{"x-user": "ada"}), db)).user == ada
    for made in (scope(query=f"token={token_of(GUEST)}"), scope(query="token=x")):
        with pytest.raises(Disconnect):
            await chain.identify(made, db)


async def test_an_authenticator_that_fails_lets_nobody_in(db: Database, settings: Settings) -> None:
    """It is no refusal either: the connection ends with 4011, and is tried again."""
    settings.REALTIME = {"AUTHENTICATORS": [f"{__name__}.Broken"]}
    with pytest.raises(ZeroDivisionError):
        await chain.identify(scope(query="token=x"), db)


async def test_a_session_is_what_a_login_rests_on(db: Database, browser: Client, ada: Any) -> None:
    """Its key is shown by no log; also where other middleware has put it into the scope."""
    found = await chain.identify(scope(browser), db)
    assert found is not None
    key = browser.session.session_key
    assert found.credential.is_of_session(digest_of(key or ""))
    assert key not in repr(found)
    made = scope() | {"user": ada, "session": browser.session}
    assert (await chain.identify(made, db) or found).credential == found.credential


async def test_a_user_without_a_session_rests_on_the_password(db: Database, ada: Any) -> None:
    """Other middleware has decided; when the password changes, it has to again."""
    found = await chain.identify(scope() | {"user": ada}, db)
    assert found is not None
    assert found.credential.password
    assert ada.password not in found.credential.password
    assert found.credential.session == ""


async def test_a_session_costs_no_more_than_before(db: Database, browser: Client) -> None:
    """One query for the session and one for its user, however many come at once."""
    made = [scope(browser) for _ in range(20)]
    wrapped: list[str] = []

    def count(execute: Any, sql: str, *rest: Any) -> Any:
        wrapped.append(sql)
        return execute(sql, *rest)

    def listen(connection: Any, **_: Any) -> None:
        connection.execute_wrappers.append(count)

    connection_created.connect(listen)
    try:
        await asyncio.gather(*(identify(one, db) for one in made))
    finally:
        connection_created.disconnect(listen)
    assert len([sql for sql in wrapped if sql.startswith("SELECT")]) <= 4


async def test_a_session_is_found_behind_middleware_in_a_chain_without_scope_users(
    db: Database, browser: Client, ada: Any, settings: Settings
) -> None:
    """`AuthMiddlewareStack` has put the user there; another user than the session's is nobody."""
    settings.REALTIME = {"AUTHENTICATORS": ["realtime.auth.sessions.SessionCookie"]}
    found = await chain.identify(scope(browser) | {"user": ada}, db)
    assert found is not None
    assert found.identity.user == ada
    assert found.credential.session == browser.cookies["sessionid"].value
    bob = await get_user_model().objects.acreate_user("bob")
    with pytest.raises(Disconnect):
        await chain.identify(scope(browser) | {"user": bob}, db)


async def test_a_chain_that_takes_no_user_of_the_scope_says_so(
    db: Database, ada: Any, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Clients are told not to come back, so the site has to hear of it."""
    settings.REALTIME = {"AUTHENTICATORS": ["realtime.auth.tickets.Ticket"]}
    assert await chain.identify(scope() | {"user": ada}, db) is None
    assert "add realtime.auth.users.ScopeUser" in caplog.text
