"""The one user that a client may be."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from realtime.client import RealtimeError
from realtime.client import identity as identities
from realtime.client.frames import Encoding
from realtime.client.identity import OTHER_USER, Identity
from realtime.client.line import End
from realtime.client.session import Session
from realtime.wire.events import Authenticated, Welcome


class FakeLine:
    """A line that records what it is told."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.is_over = False
        self.ended: End | None = None

    def welcomed(self, silence: float, most_bytes: int | None) -> None:
        self.most_bytes = most_bytes

    def send(self, command: dict[str, Any]) -> None:
        self.sent.append(command)

    def ask(self, command: dict[str, Any], reply: Callable[..., None], error: Any) -> int:
        self.sent.append(command)
        self.reply, self.error = reply, error
        return 1

    def end(self, end: End) -> None:
        self.ended, self.is_over = end, True


class FakeConnection:
    """A connection with one line."""

    def __init__(self) -> None:
        self.line = FakeLine()
        self.guest_token: str | None = None
        self.is_open = False
        self.tokens: list[str | Exception | None] = []

    def opened(self) -> None:
        self.is_open = True

    async def token(self) -> str | None:
        token = self.tokens.pop(0)
        if isinstance(token, Exception):
            raise token
        return token


class Known:
    """An identity, and what it has told the parts of its client."""

    def __init__(self, user: str | None = None, name: str | None = None) -> None:
        self.connection = FakeConnection()
        self.session = Session(Encoding("ndjson"), 10, "all")
        self.forgotten = 0
        made: Any = self.connection
        self.identity = Identity(user, name, made, self.session, self._forget)

    def _forget(self) -> None:
        self.forgotten += 1

    def welcome(self, user_id: str, **fields: Any) -> None:
        self.identity.welcome(welcome(user_id, **fields))


def welcome(user_id: str, **fields: Any) -> Welcome:
    """Return the first frame of a connection."""
    known = {"connection": "c", "heartbeat": 20.0, "limits": {}, "protocol": "realtime.v1"}
    known |= {"server_time": "2026-01-01T00:00:00Z", "username": user_id}
    return Welcome(user_id=user_id, **{**known, **fields})


def authenticated(user_id: str) -> Authenticated:
    return Authenticated(user_id=user_id, username=f"name of {user_id}")


def test_without_a_user_the_first_welcome_decides() -> None:
    known = Known()
    known.welcome("1", limits={"frame_bytes": 9})
    assert known.connection.is_open
    assert known.connection.line.most_bytes == 9
    assert (known.session.user_id, known.session.limits) == ("1", {"frame_bytes": 9})
    known.welcome("2")
    assert known.connection.line.ended == OTHER_USER
    assert known.forgotten == 1


def test_another_user_than_the_expected_one_is_refused() -> None:
    known = Known(user="1")
    known.welcome("2")
    assert known.connection.line.ended == OTHER_USER
    assert not known.connection.is_open
    assert known.forgotten == 1


def test_a_guest_may_become_another_guest_whose_rooms_begin_anew() -> None:
    known = Known(user="guest:a")
    known.welcome("guest:b")
    assert known.connection.is_open
    assert known.forgotten == 1
    known.welcome("guest:b")
    assert known.forgotten == 1


def test_a_new_guest_gets_its_name_before_the_connection_opens() -> None:
    known = Known(name="Ada")
    known.welcome("guest:a", guest_token="secret")
    assert known.connection.line.sent == [{"type": "auth", "name": "Ada"}]
    assert not known.connection.is_open
    known.connection.line.reply(authenticated("guest:a"))
    assert known.connection.is_open
    assert known.connection.guest_token == "secret"
    known.welcome("guest:a")  # a guest who comes back keeps the name
    assert len(known.connection.line.sent) == 1


def test_a_guest_who_follows_another_one_gets_the_name_too() -> None:
    """The token of the first one was lost."""
    known = Known(name="Ada")
    known.welcome("guest:a")
    known.connection.line.reply(authenticated("guest:a"))
    known.welcome("guest:b")
    assert known.connection.line.sent == 2 * [{"type": "auth", "name": "Ada"}]


def test_a_user_with_an_account_needs_no_name() -> None:
    known = Known(name="Ada")
    known.welcome("1")
    assert (known.connection.line.sent, known.connection.is_open) == ([], True)


@pytest.mark.parametrize("is_retryable", [True, False], ids=["for now", "for good"])
def test_a_name_that_is_refused_ends_the_line(is_retryable: bool) -> None:
    known = Known(name="Ada")
    known.welcome("guest:a")
    known.connection.line.error(RealtimeError("name_taken", "Taken.", is_retryable=is_retryable))
    ended = known.connection.line.ended
    assert ended is not None
    assert (ended.code, ended.reason, ended.reconnect) == (4500, "Taken.", is_retryable)


def test_a_line_that_is_lost_before_the_name_ends_nothing() -> None:
    known = Known(name="Ada")
    known.welcome("guest:a")
    known.connection.line.error(RealtimeError("offline"))
    assert known.connection.line.ended is None


def test_a_token_of_another_user_is_refused() -> None:
    known = Known(user="1")
    known.identity.renewed(authenticated("1"))
    assert known.session.username == "name of 1"
    known.identity.renewed(authenticated("2"))
    assert (known.connection.line.ended, known.forgotten) == (OTHER_USER, 1)


async def renew(known: Known) -> None:
    known.identity.renew()
    assert known.identity.renewing is not None
    async with asyncio.timeout(5):
        await known.identity.renewing


async def test_a_new_token_is_sent_once() -> None:
    known = Known(user="1")
    known.connection.tokens = ["new", "another"]
    known.identity.renew()
    await renew(known)
    assert known.connection.line.sent == [{"type": "auth", "token": "new"}]


async def test_no_token_sends_nothing() -> None:
    known = Known(user="1")
    known.connection.tokens = [None]
    await renew(known)
    assert known.connection.line.sent == []


async def test_a_token_that_fails_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "RENEW_SECONDS", 0.0)
    known = Known(user="1")
    known.connection.tokens = [OSError("away"), "new"]
    await renew(known)
    assert known.connection.line.sent == [{"type": "auth", "token": "new"}]


async def test_a_token_that_comes_after_the_line_is_not_sent() -> None:
    known = Known(user="1")
    known.connection.tokens = ["late"]
    known.identity.renew()
    known.connection.line.is_over = True
    assert known.identity.renewing is not None
    await known.identity.renewing
    assert known.connection.line.sent == []
