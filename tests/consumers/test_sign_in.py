"""Saying who one is: in the first message, again on an open connection, and until it ends."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from django.contrib.auth import get_user_model, update_session_auth_hash
from django.contrib.auth.models import Group, Permission
from django.http import HttpRequest
from django.test import Client
from pytest_django.fixtures import Settings

from harness.client.in_process import Socket
from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import testing
from realtime.auth import tickets
from realtime.auth.changes import refresh_rights, revoke
from realtime.auth.guests import arevoke as arevoke_guest
from realtime.auth.guests import revoke as revoke_guest
from realtime.consumers import Consumer, RoomConsumer
from realtime.engine.bus.notes import Cause, Revalidate
from realtime.engine.engine import Engine
from realtime.models import Room
from realtime.policy import Policy
from realtime.store.accounts import tokens
from realtime.store.accounts.sessions import login_of
from realtime.wire.errors import CloseCode

KEY = "a secret of at least thirty-two bytes"
AUTHENTICATORS = [
    "realtime.auth.users.ScopeUser",
    "realtime.auth.sessions.SessionCookie",
    "realtime.auth.tickets.Ticket",
    "realtime.auth.web_tokens.WebToken",
]
JWT = {
    "AUTHENTICATORS": AUTHENTICATORS,
    "JWT_ALGORITHMS": ["HS256"],
    "JWT_KEY": KEY,
    "JWT_LEEWAY_SECONDS": 0,
}


@pytest.fixture
async def strict(room: Room) -> AsyncIterator[Engine]:
    """The engine of a site without guests, that takes JWTs."""
    async with testing.engine(GUESTS=False, PULSE_SECONDS=0.2, **UNLIMITED, **JWT) as running:
        yield running


def token_for(user: Any, seconds: float = 3600, **claims: Any) -> str:
    told = {"sub": str(user.pk), "exp": int(time.time() + seconds), **claims}
    return jwt.encode(told, KEY, algorithm="HS256")


def bearer(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {token}".encode())]


def cookie(browser: Client) -> list[tuple[bytes, bytes]]:
    pairs = "; ".join(f"{key}={one.value}" for key, one in browser.cookies.items())
    return [(b"cookie", pairs.encode())]


@pytest.fixture
def browser(ada: Any) -> Client:
    client = Client()
    client.force_login(ada)
    return client


async def post(browser: Client, address: str) -> Any:
    return await sync_to_async(browser.post)(address)


# The first message.


async def test_the_first_message_may_say_who_one_is(strict: Engine, ada: Any) -> None:
    """Then comes the welcome, then the answer, then what else the client has sent."""
    socket = Socket(encoding="ndjson")
    await socket.open()
    assert strict.connections == {}
    assert strict.presence is not None
    frame = f'{{"type":"auth","token":"{token_for(ada)}","ref":1}}\n{{"type":"ping","ref":2}}'
    await socket.raw(frame)
    kinds = [(await socket.receive())["type"] for _ in range(3)]
    assert kinds == ["welcome", "authenticated", "pong"]
    assert socket.seen[1]["ref"] == 1
    assert socket.seen[1]["username"] == "ada"
    assert socket.seen[1]["expires_at"].endswith("Z")
    assert len(strict.connections) == 1
    assert (await socket.join("general"))["username"] == "ada"
    await socket.close()
    await eventually(lambda: strict.connections == {})


async def test_what_comes_along_with_the_first_message_is_done_with(
    strict: Engine, ada: Any
) -> None:
    """Else the connection counts as busy, is read no more and given up in the end."""
    socket = Socket(encoding="ndjson")
    await socket.open()
    await socket.raw(f'{{"type":"auth","token":"{token_for(ada)}"}}\n{{"type":"ping"}}')
    await socket.expect("pong")
    assert strict.watchdog._since == {}
    await socket.close()


async def test_who_took_long_to_say_it_has_not_been_silent(
    strict: Engine, ada: Any, settings: Settings
) -> None:
    """The heartbeats begin with the welcome."""
    settings.REALTIME = {**settings.REALTIME, "HEARTBEAT_SECONDS": 0.2}
    socket = Socket()
    await socket.open()
    await asyncio.sleep(0.5)
    await socket.send("auth", token=token_for(ada))
    await socket.expect("welcome")
    welcomed = strict.loop.time()
    await socket.expect("ping")
    assert strict.loop.time() - welcomed >= 0.15
    await socket.close()


async def test_before_it_nothing_is_accepted_and_nothing_heard(strict: Engine, ada: Any) -> None:
    """Each command is refused, the fourth ends the connection; no topic knows it."""
    socket = Socket()
    await socket.open()
    for number in range(3):
        await socket.send("join", room="general", ref=number)
        error = await socket.receive()
        assert (error["code"], error["ref"]) == ("not_authenticated", number)
    assert all(not topic.members for topic in strict.hub.topics.values())
    await socket.send("ping")
    assert (await socket.ended())[1] == CloseCode.UNAUTHENTICATED
    await socket.communicator.wait()
    assert (strict.admission.open, strict.admission.unauthenticated) == (0, 0)


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"auth","token":"' + "x" * 4096 + '"}',
        '{"type":"ping","t":"' + "é" * 2048 + '"}',
        b"x" * 4097,
        '{"type":"auth","token":"forged"}',
        '{"type":"auth","token":""}',
    ],
    ids=["long token", "long", "long bytes", "forged", "empty"],
)
async def test_a_bad_first_message_ends_the_connection(strict: Engine, frame: str | bytes) -> None:
    """Whatever is wrong with it, with the same words."""
    socket = Socket()
    await socket.open()
    await socket.raw(frame)
    told, code = await socket.ended()
    assert (code, told["reason"]) == (CloseCode.UNAUTHENTICATED, "Sign in first.")


async def test_who_says_nothing_is_sent_away(strict: Engine, settings: Any) -> None:
    """After `AUTH_SECONDS`."""
    settings.REALTIME = {**settings.REALTIME, "AUTH_SECONDS": 0.2}
    socket = Socket()
    await socket.open()
    began = time.monotonic()
    assert (await socket.ended())[1] == CloseCode.UNAUTHENTICATED
    assert 0.15 < time.monotonic() - began < 5
    await socket.communicator.wait()
    assert strict.admission.unauthenticated == 0


async def test_who_leaves_before_saying_anything_leaves_nothing(strict: Engine) -> None:
    """No place stays taken."""
    socket = Socket()
    await socket.open()
    await socket.close()
    assert (strict.admission.open, strict.admission.unauthenticated) == (0, 0)


async def test_the_unknown_have_a_tenth_of_the_places(strict: Engine, settings: Any) -> None:
    """So that they cannot take those of the others."""
    settings.REALTIME = {**settings.REALTIME, "CONNECTIONS_PER_PROCESS": 20}
    waiting = [Socket() for _ in range(2)]
    for socket in waiting:
        await socket.open()
    late = Socket()
    await late.open()
    assert (await late.ended())[1] == CloseCode.AT_CAPACITY
    for socket in waiting:
        await socket.close()


async def test_a_dead_session_is_no_silence(strict: Engine, browser: Client) -> None:
    """Who brings a cookie is told at once that it is no good."""
    headers = cookie(browser)
    await browser.alogout()
    socket = Socket(headers=headers)
    await socket.open()
    assert (await socket.ended())[1] == CloseCode.UNAUTHENTICATED


async def test_an_engine_that_stops_meanwhile_takes_nobody_in(strict: Engine, ada: Any) -> None:
    """It has told all it knew of, and this one was not among them."""
    socket = Socket()
    await socket.open()
    strict.is_stopping = True
    await socket.send("auth", token=token_for(ada))
    assert (await socket.ended())[1] == CloseCode.SHUTDOWN
    strict.is_stopping = False


# Tokens and their end.


async def test_a_token_in_a_header_or_the_query_signs_in(strict: Engine, ada: Any) -> None:
    """Nothing of it stays in the scope."""
    token = token_for(ada)
    for socket in (Socket(headers=bearer(token)), Socket(f"/ws?token={token}")):
        async with socket:
            assert socket.welcome["username"] == "ada"
            assert token not in repr(socket.communicator.scope)


async def test_a_ticket_signs_in_once(strict: Engine, ada: Any, browser: Client) -> None:
    """By the page that gives it out."""
    ticket = (await post(browser, "/realtime/ticket/")).json()["ticket"]
    async with Socket(f"/ws?token={ticket}") as socket:
        assert socket.welcome["username"] == "ada"
    again = Socket(f"/ws?token={ticket}")
    await again.open()
    assert (await again.ended())[1] == CloseCode.UNAUTHENTICATED


async def test_an_expiring_token_is_told_of_and_ends_the_connection(
    strict: Engine, ada: Any
) -> None:
    """At half of a short life, once; then 4005, to come back with a new one."""
    async with Socket(headers=bearer(token_for(ada, 2))) as socket:
        error = await socket.expect("error")
        assert (error["code"], error["retryable"]) == ("token_expired", True)
        told, code = await socket.ended()
        assert (code, told["reconnect"]) == (CloseCode.EXPIRED, True)


async def test_a_new_token_moves_the_end_also_inside_of_a_room(strict: Engine, ada: Any) -> None:
    """The same user may always refresh."""
    async with Socket(headers=bearer(token_for(ada, 2))) as socket:
        await socket.join("general")
        await socket.expect("error", code="token_expired")
        reply = await socket.ask("auth", token=token_for(ada, 3600))
        assert reply["type"] == "authenticated"
        assert reply["expires_at"]
        [connection] = strict.connections.values()
        consumer = connection.events
        assert isinstance(consumer, Consumer)
        assert consumer._login.expiry is not None
        warning, end = (timer.when() for timer in consumer._login.expiry._timers)
        assert end - warning == pytest.approx(30, abs=1)
        assert end - strict.loop.time() == pytest.approx(3600, abs=5)


async def test_another_users_token_is_refused_inside_of_a_room(
    strict: Engine, ada: Any, bob: Any
) -> None:
    """And taken outside."""
    async with Socket(headers=bearer(token_for(ada))) as socket:
        await socket.join("general")
        assert await socket.refused("auth", token=token_for(bob)) == "permission_denied"
        await socket.ask("leave", room="general")
        assert (await socket.ask("auth", token=token_for(bob)))["username"] == "bob"


async def test_a_revoked_token_ends_its_connections_and_opens_no_other(
    strict: Engine, ada: Any
) -> None:
    """Those of the user's other tokens stay."""
    token = token_for(ada, jti="one")
    async with (
        Socket(headers=bearer(token)) as socket,
        Socket(headers=bearer(token_for(ada, jti="two"))) as other,
    ):
        await sync_to_async(revoke)("one", time.time() + 3600)
        assert (await socket.ended())[1] == CloseCode.EXPIRED
        assert (await other.ask("ping"))["type"] == "pong"
    again = Socket(headers=bearer(token))
    await again.open()
    assert (await again.ended())[1] == CloseCode.UNAUTHENTICATED


# Sessions and users.


async def test_a_logout_ends_the_connections_of_that_session_only(
    strict: Engine, ada: Any, browser: Client
) -> None:
    """Another browser of the same user goes on; a ticket belongs to the session it came from."""
    phone = Client()
    await phone.aforce_login(ada)
    ticket = (await post(browser, "/realtime/ticket")).json()["ticket"]
    async with (
        Socket(headers=cookie(browser)) as socket,
        Socket(headers=cookie(phone)) as other,
        Socket(f"/ws?token={ticket}") as third,
    ):
        await post(browser, "/logout/")
        told, code = await socket.ended()
        assert (code, told["reconnect"], told["retry_after"]) == (CloseCode.EXPIRED, True, 1)
        assert (await third.ended())[1] == CloseCode.EXPIRED
        assert (await other.ask("ping"))["type"] == "pong"


async def _change_password(user: Any) -> None:
    user.set_password("another")
    await user.asave()


async def _deactivate(user: Any) -> None:
    user.is_active = False
    await user.asave()


async def _delete(user: Any) -> None:
    await user.adelete()


@pytest.mark.parametrize("change", [_change_password, _deactivate, _delete])
@pytest.mark.parametrize("way", ["session", "ticket", "scope"])
async def test_a_user_who_is_no_longer_good_is_sent_away(
    strict: Engine, ada: Any, browser: Client, change: Any, way: str
) -> None:
    """However they came."""
    sockets = {
        "session": lambda: Socket(headers=cookie(browser)),
        "ticket": lambda: Socket(f"/ws?token={tickets.issue(ada)}"),
        "scope": lambda: Socket(user=ada),
    }
    fresh = await get_user_model().objects.aget(pk=ada.pk)
    async with sockets[way]() as socket:
        await change(fresh)
        assert (await socket.ended())[1] == CloseCode.EXPIRED


async def test_what_no_signal_tells_the_pulse_finds(
    strict: Engine, ada: Any, bob: Any, browser: Client
) -> None:
    """A bulk query, a session that ends, a token that is revoked in the database."""
    async with (
        Socket(headers=cookie(browser)) as session,
        Socket(headers=bearer(token_for(bob))) as token,
    ):
        await browser.session.adelete(browser.session.session_key)
        await get_user_model().objects.filter(pk=bob.pk).aupdate(is_active=False)
        for watched in strict.revalidator._tracked.values():
            watched.due_at = 0
        assert (await session.ended())[1] == CloseCode.EXPIRED
        assert (await token.ended())[1] == CloseCode.EXPIRED


async def test_rights_that_changed_before_the_first_look_are_found_by_it(
    strict: Engine, private: Room, bob: Any
) -> None:
    """Of what no signal tells: what a handshake has read may be old when it is over."""
    await get_user_model().objects.filter(pk=bob.pk).aupdate(is_superuser=True)
    async with Socket(headers=bearer(token_for(bob))) as socket:
        assert "moderate" in (await socket.join("secret"))["rights"]
        await get_user_model().objects.filter(pk=bob.pk).aupdate(is_superuser=False)
        for one in strict.revalidator._tracked.values():
            one.due_at = 0  # its turn
        assert (await socket.expect("removed", room="secret"))["code"] == "unknown_room"


class StaffOnly(Policy):
    """Who may post depends on the user, its groups and permissions."""

    def may_post(self, identity: Any, room: Any, membership: Any) -> bool:
        return bool(identity.user.is_staff or identity.user.has_perm("auth.change_user"))


@pytest.mark.parametrize("how", ["field", "group", "group by group", "permission", "of group"])
async def test_changed_rights_reach_open_connections(
    strict: Engine, ada: Any, how: str, settings: Any
) -> None:
    """A fresh user object is asked about, and the rooms' cached permissions are asked for again."""
    settings.REALTIME = {**settings.REALTIME, "POLICY": f"{__name__}.StaffOnly"}
    permission = await Permission.objects.aget(codename="change_user")
    group = await Group.objects.acreate(name="staff")
    if how == "of group":
        await ada.groups.aadd(group)
    else:
        await group.permissions.aadd(permission)
    fresh = await get_user_model().objects.aget(pk=ada.pk)
    async with Socket(user=ada) as socket:
        await socket.join("general")
        assert await socket.refused("message", room="general", content="x") == "permission_denied"
        match how:
            case "field":
                fresh.is_staff = True
                await fresh.asave()
            case "group":
                await fresh.groups.aadd(group)
            case "group by group":
                await group.user_set.aadd(fresh)
            case "permission":
                await fresh.user_permissions.aadd(permission)
            case "of group":
                await group.permissions.aadd(permission)

        async def may() -> bool:
            reply = await socket.ask("message", room="general", content="x")
            return bool(reply["type"] == "ack")

        async with asyncio.timeout(30):
            while not await may():
                await asyncio.sleep(0.02)


async def test_lost_notes_of_rights_are_found_by_the_pulse(
    strict: Engine, ada: Any, settings: Any
) -> None:
    """Through the counter in the database."""
    settings.REALTIME = {**settings.REALTIME, "POLICY": f"{__name__}.StaffOnly"}
    asked: list[str] = []

    class Asked(RoomConsumer):
        def on_rights_changed(self, room: str = "", user_id: str = "") -> None:
            asked.append(self.id)
            super().on_rights_changed(room, user_id)

    async with Socket(user=ada, application=Asked.as_asgi()):
        await eventually(lambda: strict.revalidator._rights_seq is not None)
        heard, strict.hub._revalidate = strict.hub._revalidate, lambda *_: None
        await sync_to_async(refresh_rights)()
        await eventually(lambda: asked)
        strict.hub._revalidate = heard


async def test_a_user_who_is_renamed_is_known_by_the_new_name(strict: Engine, ada: Any) -> None:
    """Without coming back."""
    async with Socket(user=ada) as socket:
        fresh = await get_user_model().objects.aget(pk=ada.pk)
        fresh.username = "lovelace"
        await fresh.asave()
        async with asyncio.timeout(30):
            while (await socket.ask("auth"))["username"] != "lovelace":
                await asyncio.sleep(0.02)


async def test_a_login_changes_nothing(strict: Engine, ada: Any) -> None:
    """It saves the user, but only the time."""
    heard: list[Any] = []
    strict.hub._revalidate = lambda *told: heard.append(told)
    async with Socket(user=ada) as socket:
        await Client().aforce_login(ada)
        await socket.ask("ping")
        assert heard == []


async def test_a_database_that_is_away_ends_nobody(
    strict: Engine, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are looked at again when it is back."""
    from django.db import OperationalError

    async def away(*args: Any) -> None:
        raise OperationalError("away")

    async with Socket(user=ada) as socket:
        with monkeypatch.context() as patched:
            patched.setattr(strict.db, "read", away)
            note = Revalidate(Cause.USER, "")
            strict.revalidator.on_change(list(strict.connections.values()), note)
            await eventually(lambda: not strict.revalidator._tasks)
        assert (await socket.ask("ping"))["type"] == "pong"
        fresh = await get_user_model().objects.aget(pk=ada.pk)
        await get_user_model().objects.filter(pk=fresh.pk).adelete()
        assert (await socket.ended())[1] == CloseCode.EXPIRED


async def test_a_consumer_without_rooms_is_watched_too(strict: Engine, ada: Any) -> None:
    """The base class does it."""
    async with Socket(application=Consumer.as_asgi(), user=ada) as socket:
        await get_user_model().objects.filter(pk=ada.pk).adelete()
        assert (await socket.ended())[1] == CloseCode.EXPIRED


async def test_a_guest_that_is_revoked_is_ended_and_does_not_come_back(
    engine: Engine, room: Room
) -> None:
    """On all its connections, also new ones that were given their token just now; nobody else."""
    new, other = Socket(), Socket()
    async with new, other:
        token = new.welcome["guest_token"]
        again = Socket(subprotocols=["realtime.v1.json", f"realtime.token.{quote(token)}"])
        async with again:
            assert again.welcome["user_id"] == new.welcome["user_id"]
            with pytest.raises(ValueError, match="starts with guest:"):
                revoke_guest("7")
            await arevoke_guest(new.welcome["user_id"])
            for socket in (new, again):
                assert (await socket.ended())[1] == CloseCode.EXPIRED
        assert (await other.ask("ping"))["type"] == "pong"
        await other.send("auth", token=token)
        assert (await other.ended())[1] == CloseCode.UNAUTHENTICATED


async def test_a_revoked_guest_of_whom_nobody_told_is_found_in_turn(
    room: Room, settings: Settings
) -> None:
    """The note to the other processes was lost."""
    often = {"PULSE_SECONDS": 0.2, "RECHECK_SECONDS": 0.2}
    async with testing.engine(GUESTS=True, **often, **UNLIMITED), Socket() as socket:
        await sync_to_async(tokens.revoke)(socket.welcome["user_id"], time.time() + 60)
        assert (await socket.ended())[1] == CloseCode.EXPIRED


ENGINES = ["db", "cached_db", "cache", "file", "signed_cookies"]


@pytest.fixture(params=ENGINES)
def sessions(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> str:
    """A site whose sessions are kept by each of Django's engines."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    return str(request.param)


@pytest.mark.parametrize("meanwhile", ["nothing", "a page", "another login", "no id"])
async def test_a_logout_ends_its_login_whatever_the_session_is_called_by_then(
    sessions: str, strict: Engine, ada: Any, meanwhile: str
) -> None:
    """The session was saved with other contents, got another key, or was made without an id."""
    browser, elsewhere = Client(), Client()
    for one in (browser, elsewhere):
        await sync_to_async(one.force_login)(ada)
    if meanwhile == "no id":
        await sync_to_async(rewrite)(browser, lambda session: session.pop("_realtime_login"))
    async with (
        Socket(headers=cookie(browser)) as socket,
        Socket(headers=cookie(elsewhere)) as other,
    ):
        if meanwhile == "another login":
            await sync_to_async(browser.force_login)(ada)
        elif meanwhile != "nothing":
            await post(browser, "/realtime/ticket")
        await post(browser, "/logout/")
        assert (await socket.ended())[1] == CloseCode.EXPIRED
        assert (await other.ask("ping"))["type"] == "pong"


def rewrite(browser: Client, change: Callable[[Any], object]) -> None:
    """Change what a browser's session holds."""
    session = browser.session
    change(session)
    session.save()
    browser.cookies["sessionid"] = str(session.session_key)


async def test_a_cookie_of_before_a_logout_opens_nothing(
    strict: Engine, ada: Any, settings: Settings
) -> None:
    """Nothing but the cookie knows of a session in a cookie, so its logout is remembered."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    browser = Client()
    await sync_to_async(browser.force_login)(ada)
    old = cookie(browser)
    await post(browser, "/logout/")
    socket = Socket(headers=old)
    await socket.open()
    assert (await socket.ended())[1] == CloseCode.UNAUTHENTICATED
    stacked = Socket(headers=old, application=AuthMiddlewareStack(RoomConsumer.as_asgi()))
    await stacked.open()
    assert (await stacked.ended())[1] == CloseCode.UNAUTHENTICATED


async def test_a_logout_of_a_session_in_a_cookie_is_found_in_turn(
    settings: Settings, room: Room, ada: Any
) -> None:
    """The note to the other processes was lost."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    browser = Client()
    await sync_to_async(browser.force_login)(ada)
    often = {"PULSE_SECONDS": 0.2, "RECHECK_SECONDS": 0.2}
    async with testing.engine(**often, **UNLIMITED), Socket(headers=cookie(browser)) as socket:
        login = await sync_to_async(login_of)(browser.cookies["sessionid"].value)
        assert login is not None
        await sync_to_async(tokens.revoke)(login.credential.token_id, time.time() + 60)
        assert (await socket.ended())[1] == CloseCode.EXPIRED


async def test_a_new_password_ends_all_logins_and_the_browser_comes_back(
    sessions: str, strict: Engine, ada: Any
) -> None:
    """`update_session_auth_hash` gives the browser that changed it another key."""
    browser, elsewhere = Client(), Client()
    for one in (browser, elsewhere):
        await sync_to_async(one.force_login)(ada)
    own, other = Socket(headers=cookie(browser)), Socket(headers=cookie(elsewhere))
    async with own, other:
        await sync_to_async(change_password)(browser, ada)
        for socket in (own, other):
            assert (await socket.ended())[1] == CloseCode.EXPIRED
    async with Socket(headers=cookie(browser)) as again:
        assert again.welcome["username"] == "ada"
        await post(browser, "/logout/")
        assert (await again.ended())[1] == CloseCode.EXPIRED


def change_password(browser: Client, user: Any) -> None:
    """As Django's own view does."""
    request = HttpRequest()
    request.session, request.user = browser.session, user
    user.set_password("new secret")
    user.save()
    update_session_auth_hash(request, user)
    request.session.save()
    browser.cookies["sessionid"] = str(request.session.session_key)
