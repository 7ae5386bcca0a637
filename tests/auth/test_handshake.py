"""Tokens are taken out of a handshake before anybody can log them."""

import logging
from typing import Any

import pytest

from realtime.auth.handshake import Secret, cookies_of, hide_token, pop_token
from realtime.auth.origin import OriginCheck


def scope(query: str = "", *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "websocket", "query_string": query.encode(), "headers": [*headers]}


@pytest.mark.parametrize(
    ("made", "token"),
    [
        (scope("token=one"), "one"),
        (scope("tok%65n=one&a=1"), "one"),
        (scope("token=one&token=two"), "one"),
        (scope("", (b"authorization", b"Bearer one")), "one"),
        (scope("", (b"Authorization", b"bearer  one ")), "one"),
        (scope("token=two", (b"authorization", b"Bearer one")), "one"),
        (scope("", (b"authorization", b"Bearer one"), (b"authorization", b"Bearer two")), "one"),
        (scope("token="), None),
        (scope("", (b"authorization", b"Bearer ")), None),
        (scope("", (b"authorization", b"Basic b25l")), None),
        (scope("a=1"), None),
    ],
)
def test_a_token_is_found_and_is_nowhere_afterwards(made: dict[str, Any], token: str) -> None:
    """A header comes before the address; whatever else looks like one goes too."""
    assert pop_token(made) == token
    assert "one" not in repr(made)
    assert "two" not in repr(made)


def offering(*subprotocols: str, query: str = "", **headers: str) -> dict[str, Any]:
    made = scope(query, (b"sec-websocket-protocol", ", ".join(subprotocols).encode()))
    made["headers"] += [(name.encode(), value.encode()) for name, value in headers.items()]
    return made | {"subprotocols": [*subprotocols]}


@pytest.mark.parametrize(
    ("made", "token"),
    [
        (offering("realtime.v1.ndjson", "realtime.token.one"), "one"),
        (offering("realtime.token.a%3Aone%28%29", "realtime.v1.ndjson"), "a:one()"),
        (offering("realtime.token.one", query="token=two"), "one"),
        (offering("realtime.token.two", authorization="Bearer one"), "one"),
        (offering("realtime.token."), None),
        (offering("realtime.v1.json"), None),
    ],
)
def test_a_token_may_come_as_a_subprotocol(made: dict[str, Any], token: str) -> None:
    """Browsers can set no other header; servers and other consumers see only real ones."""
    assert pop_token(made) == token
    assert not [word for word in ("one", "two", "realtime.token") if word in repr(made)]
    assert made["subprotocols"] in (["realtime.v1.ndjson"], ["realtime.v1.json"], [])
    assert made["headers"] == [
        (b"sec-websocket-protocol", ", ".join(made["subprotocols"]).encode())
    ]


def test_what_is_no_token_stays() -> None:
    """Other parameters and headers, also ones that we do not understand."""
    made = scope("a=%C3%A9&token=x&b=", (b"authorization", b"Basic b25l"), (b"host", b"a"))
    hide_token(made)
    assert made["query_string"] == b"a=%C3%A9&b="
    assert made["headers"] == [(b"authorization", b"Basic b25l"), (b"host", b"a")]


def test_a_hidden_token_is_not_shown_by_accident() -> None:
    """In no format; hiding twice loses nothing."""
    made = scope("token=one")
    hide_token(made)
    hide_token(made)
    secret = made["realtime.token"]
    assert isinstance(secret, Secret)
    assert f"{secret} {secret!r} {secret!s}" == " ".join(["<hidden>"] * 3)
    assert pop_token(made) == "one"


async def test_the_servers_own_scope_has_no_token_whether_let_in_or_not() -> None:
    """Servers log the address after the handshake, from the scope they have made."""
    seen: list[dict[str, Any]] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.append({**scope})

    async def nothing(*_: Any) -> Any:
        return {"type": "websocket.connect"}

    let_in = scope("token=one")
    await OriginCheck(application)(let_in, nothing, nothing)
    assert pop_token(seen[0]) == "one"
    refused = scope("token=one", (b"origin", b"https://evil.example"))
    await OriginCheck(application)(refused, nothing, nothing)
    assert len(seen) == 1
    assert "one" not in repr([let_in, refused])


def test_cookies_are_read_as_django_does() -> None:
    """The first header of that name, whatever is in it."""
    made = scope("", (b"host", b"a"), (b"cookie", b'sessionid="a b"; x; y=\xe9'))
    assert cookies_of(made) == {"sessionid": "a b", "": "x", "y": "é"}
    assert cookies_of(scope()) == {}


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At no level."""
    caplog.set_level(logging.NOTSET)
    pop_token(scope("token=one"))
    assert caplog.records == []
