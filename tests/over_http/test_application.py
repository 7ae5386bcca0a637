"""A request of protocol v1: its commands, who may send it, and what is refused."""

import asyncio
import json
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.contrib.auth import get_user_model
from django.test import RequestFactory
from django.urls import re_path, reverse
from pytest_django import Settings

from realtime import moderation, testing
from realtime.consumers import Consumer
from realtime.engine.engine import Engine
from realtime.engine.servers.transport import SEND
from realtime.models import Connection, Membership, Message, Presence, Room
from realtime.over_http import PlainHttp
from realtime.testing import connect
from realtime.views import over_http
from tests.over_http.http_client import Exchange, session_of

Headers = dict[str, str]
HOME = {"x-forwarded-for": "203.0.113.5"}
SAY = {"type": "message", "room": "general", "content": "hi", "nonce": "n", "ref": 1}


async def test_commands_are_executed_in_order_and_all_replied(
    site: PlainHttp, guest: Headers
) -> None:
    """Without a join, and the acknowledgement of a message comes in the same response."""
    exchange = Exchange(site)
    typing = {"type": "typing", "room": "general"}
    history = {"type": "history", "room": "general", "ref": 2}
    frames = await exchange.commands(SAY, typing, history, {"type": "ping"}, headers=guest)
    assert [frame["type"] for frame in frames][:1] == ["welcome"]
    assert sorted(frame["type"] for frame in frames[1:]) == ["ack", "history", "pong"]
    assert exchange.headers["cache-control"] == "no-store, no-transform"
    assert exchange.headers["x-accel-buffering"] == "no"
    assert exchange.headers["content-type"] == "application/x-ndjson"
    assert int(exchange.headers["content-length"]) == len(exchange.body)


async def test_a_message_that_is_repeated_is_stored_once(site: PlainHttp, guest: Headers) -> None:
    """The second request gets the acknowledgement of the first."""
    [first] = [one for one in await Exchange(site).commands(SAY, headers=guest) if "seq" in one]
    [again] = [one for one in await Exchange(site).commands(SAY, headers=guest) if "seq" in one]
    assert (again["seq"], again["id"]) == (first["seq"], first["id"])
    assert await Message.objects.acount() == 1


async def test_a_message_reaches_a_socket(site: PlainHttp, guest: Headers) -> None:
    """It is broadcast as any other."""
    async with connect() as socket:
        await socket.join("general")
        await Exchange(site).commands(SAY, headers=guest)
        assert (await socket.next("message"))["content"] == "hi"


async def test_a_session_signs_in(site: PlainHttp, user: Headers) -> None:
    """As it does in a handshake, from a page of this origin."""
    [welcome] = await Exchange(site).commands(headers=user)
    assert welcome["username"] == "ada"


async def test_the_presence_of_a_room_needs_no_join(site: PlainHttp, guest: Headers) -> None:
    """The request itself is not present."""
    command = {"type": "presence", "room": "general", "ref": 1}
    async with connect() as socket:
        await socket.join("general")
        async with asyncio.timeout(30):
            while not await Presence.objects.acount():
                pass
        _, found = await Exchange(site).commands(command, headers=guest)
    assert found["count"] == 1
    assert await Connection.objects.acount() == 1


async def test_reading_is_stored(site: PlainHttp, user: Headers, room: Room, ada: Any) -> None:
    """For a user with an account."""
    await Exchange(site).commands(SAY, headers=user)
    await Exchange(site).commands({"type": "read", "room": "general", "seq": 1}, headers=user)
    assert (await Membership.objects.aget(room=room, user=ada)).read_seq == 1


@pytest.mark.parametrize("kind", ["message", "history", "read", "typing", "presence"])
async def test_a_room_that_may_not_be_joined_is_unknown(
    site: PlainHttp, user: Headers, private: Room, kind: str
) -> None:
    """The rights of a join are asked for each command."""
    more = {"content": "hi"} if kind == "message" else {"seq": 1} if kind == "read" else {}
    command = {"type": kind, "room": "secret", "ref": 1, **more}
    _, error = await Exchange(site).commands(command, headers=user)
    assert (error["type"], error["code"], error["ref"]) == ("error", "unknown_room", 1)
    assert await Message.objects.acount() == 0


async def test_a_banned_user_may_do_nothing(
    site: PlainHttp, user: Headers, room: Room, ada: Any
) -> None:
    """The ban of a room counts from its commit."""
    await moderation.aban(room, ada, by=None)
    _, error = await Exchange(site).commands(SAY, headers=user)
    assert error["code"] == "permission_denied"


async def test_a_user_who_is_banned_between_two_requests_may_do_nothing(
    site: PlainHttp, user: Headers, room: Room, ada: Any
) -> None:
    """No right is kept from one request to the next."""
    assert len(await Exchange(site).commands(SAY, headers=user)) == 2
    await moderation.aban(room, ada, by=None)
    _, error = await Exchange(site).commands(SAY | {"nonce": "m"}, headers=user)
    assert error["code"] == "permission_denied"


async def test_another_user_is_refused_before_any_command(
    site: PlainHttp, user: Headers, bob: Any
) -> None:
    """A cookie can change between two requests: nothing is sent as Bob that Ada has written."""
    page = {**user, "x-realtime-user": str(bob.pk)}
    assert await Exchange(site).refused(SAY, headers=page) == (409, "identity_changed")
    assert await Message.objects.acount() == 0


async def test_the_user_of_the_page_is_accepted(site: PlainHttp, user: Headers, ada: Any) -> None:
    """The header names the `user_id` of `welcome`."""
    page = {**user, "x-realtime-user": str(ada.pk)}
    assert len(await Exchange(site).commands(SAY, headers=page)) == 2


async def test_a_cookie_needs_the_origin_of_its_page(site: PlainHttp, user: Headers) -> None:
    """Else any page could send as this user."""
    without = {"cookie": user["cookie"]}
    assert await Exchange(site).refused(SAY, headers=without) == (403, "permission_denied")
    foreign = user | {"origin": "https://evil.example"}
    exchange = Exchange(site)
    assert await exchange.refused(SAY, headers=foreign) == (403, "permission_denied")
    assert "access-control-allow-origin" not in exchange.headers
    assert await Message.objects.acount() == 0


async def test_a_page_of_an_allowed_origin_may_read_the_response(
    site: PlainHttp, user: Headers, settings: Settings
) -> None:
    """Its browser asks first, and is answered for allowed origins only."""
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example"]
    page = user | {"origin": "https://app.example"}
    exchange = Exchange(site)
    await exchange.commands(SAY, headers=page)
    assert exchange.headers["access-control-allow-origin"] == "https://app.example"
    assert exchange.headers["access-control-allow-credentials"] == "true"
    asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
    preflight = Exchange(site).start(method="OPTIONS", headers=asked)
    await preflight.ended()
    assert preflight.status == 204
    assert "x-realtime-user" in preflight.headers["access-control-allow-headers"]
    foreign = asked | {"origin": "https://evil.example"}
    refused = Exchange(site)
    assert (await refused.refused(method="OPTIONS", headers=foreign))[0] == 403


async def test_a_client_without_credentials_is_told_to_sign_in(site: PlainHttp, room: Room) -> None:
    """`auth` as a command is for sockets: it comes too late here."""
    async with testing.engine(GUESTS=False):
        assert await Exchange(site).refused({"type": "auth", "token": "x"}) == (401, 4500)
        wrong = {"authorization": "Bearer wrong"}
        assert await Exchange(site).refused(SAY, headers=wrong) == (401, 4500)
    assert await Message.objects.acount() == 0


async def test_too_many_connections_are_told_when_to_come_back(site: PlainHttp, room: Room) -> None:
    """The limits of sockets count requests too."""
    limits = {"HANDSHAKES_PER_SECOND": 1, "HANDSHAKES_BURST": 1, "TRUSTED_PROXIES": 1}
    async with testing.engine(GUESTS=True, **limits):
        await Exchange(site).commands(headers=HOME)
        exchange = Exchange(site)
        assert await exchange.refused(headers=HOME) == (429, 4029)
        assert int(exchange.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"x" * 70_000, 413, "too_large"),
        (b'{"type": "message", "content": "\xff"}', 400, "invalid_json"),
    ],
    ids=["too large", "not text"],
)
async def test_a_body_that_cannot_be_read_is_refused(
    site: PlainHttp, guest: Headers, body: bytes, status: int, code: str
) -> None:
    """Before anybody signs in."""
    assert await Exchange(site).refused(body, headers=guest) == (status, code)


@pytest.mark.parametrize("length", ["x", "5,5", "-1", "²", ""])
async def test_a_length_that_is_no_number_is_not_believed(
    site: PlainHttp, guest: Headers, length: str
) -> None:
    """The bytes that come are counted anyway."""
    headers = guest | {"content-length": length}
    assert len(await Exchange(site).commands(SAY, headers=headers)) == 2
    large = Exchange(site)
    assert await large.refused(b"x" * 70_000, headers=headers) == (413, "too_large")


async def test_a_client_that_goes_before_its_commands_have_come_gets_nothing(
    site: PlainHttp, engine: Engine
) -> None:
    """And nobody is signed in."""
    exchange = Exchange(site)
    exchange.leave()
    assert await exchange.start(SAY).ended() == []
    assert exchange.status is None
    assert not engine.connections


async def test_bad_commands_are_answered_one_by_one(site: PlainHttp, guest: Headers) -> None:
    """As those of a socket, and the rest is executed."""
    frames = await Exchange(site).commands("{", {"type": "nothing"}, SAY, headers=guest)
    assert [frame.get("code") for frame in frames[1:3]] == ["invalid_json", "unknown_type"]
    assert frames[3]["type"] == "ack"


@pytest.mark.parametrize("wait", ["0", "26", "x", "-1", "", "²", "9" * 30, "00000000199"])
async def test_a_wrong_wait_is_refused(site: PlainHttp, guest: Headers, wait: str) -> None:
    """From 1 to 25 seconds."""
    exchange = Exchange(site, f"wait={wait}")
    assert await exchange.refused(headers=guest) == (400, "invalid_message")


async def test_other_requests_are_for_the_pages(site: PlainHttp, engine: Engine) -> None:
    """Only a POST of commands to this address is ours."""
    for method, kind, path in (
        ("GET", "application/x-ndjson", "/realtime/http"),
        ("POST", "text/plain", "/realtime/http"),
        ("POST", "application/x-ndjson", "/elsewhere"),
        ("POST", "application/x-ndjson", "/realtime/ticket"),
        ("OPTIONS", "application/x-ndjson", "/realtime/http"),
    ):
        exchange = Exchange(site, path=path)
        await exchange.start(method=method, headers={"content-type": kind}).ended()
        assert exchange.status == 299, (method, kind, path)


async def test_a_script_name_is_taken_off(site: PlainHttp, engine: Engine) -> None:
    """The route of the socket is found below it too."""
    exchange = Exchange(site, path="/below/realtime/http")
    [welcome] = await exchange.commands(root_path="/below")
    assert welcome["type"] == "welcome"


class Foreign(AsyncWebsocketConsumer):
    """A consumer that speaks no protocol."""


class Failing(Consumer):
    """A consumer whose client comes into an error."""

    async def on_connect(self) -> None:
        raise RuntimeError("broken")


@pytest.mark.parametrize(
    ("consumer", "expected"), [(Foreign, (404, "unknown_type")), (Failing, (200, 4011))]
)
async def test_what_is_at_the_address_may_not_speak_the_protocol(
    engine: Engine, consumer: Any, expected: tuple[int, object]
) -> None:
    """Then nothing is sent to it; a consumer that fails says so in the response."""
    routes: Any = [re_path(r"^ws/$", consumer.as_asgi())]
    exchange = Exchange(PlainHttp(None, URLRouter(routes)))
    frames = await exchange.start(SAY).ended()
    assert (exchange.status, frames[-1]["code"]) == expected


def request(method: str = "post", kind: str = "application/x-ndjson") -> tuple[int, Any]:
    made = getattr(RequestFactory(), method)(reverse("realtime:http"), content_type=kind)
    response = over_http(made)
    return response.status_code, json.loads(response.content)["code"]


def test_the_view_says_what_is_wrong() -> None:
    """It is reached under WSGI, and by requests that are no commands."""
    assert request() == (501, "unsupported")
    assert request(kind="application/json") == (415, "invalid_message")
    assert request("put") == (405, "invalid_message")


async def test_two_users_do_not_mix(site: PlainHttp, user: Headers, bob: Any) -> None:
    """Each request has an identity of its own."""
    other = user | {"cookie": f"sessionid={await session_of(bob)}"}
    await Exchange(site).commands(SAY, headers=user)
    await Exchange(site).commands(SAY, headers=other)
    names = [one.username async for one in Message.objects.order_by("pk")]
    assert names == ["ada", "bob"]
    assert await get_user_model().objects.acount() == 2


async def test_the_application_gets_the_send_that_its_scope_names() -> None:
    """Another object would be taken for middleware, and each frame would cost a task."""
    found: list[bool] = []

    async def sockets(scope: Any, receive: Any, send: Any) -> None:
        found.append(scope[SEND] is send)

    exchange = Exchange(PlainHttp(None, sockets))
    await exchange.start().ended_raw()
    assert found == [True]
