"""Credentials of a handshake: a token, which is removed from the scope, and cookies."""

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from django.conf import settings
from django.http import parse_cookie

__all__ = ["TOKEN_CHARACTERS", "Secret", "cookies_of", "hide_token", "pop_token"]

TOKEN_CHARACTERS = 4096
"""The longest token that is examined."""
CARRIER = "realtime.token."
"""The prefix of a subprotocol that carries a token."""
HIDDEN = "realtime.token"


class Secret:
    """A text whose `repr` hides it, so that no log shows it by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "<hidden>"

    def reveal(self) -> str:
        """Return the text."""
        return self._text


def hide_token(scope: dict[str, Any]) -> None:
    """Remove all tokens from a scope, in place, because servers log values of it.

    A header (RFC 6750) takes precedence over a subprotocol, and that over `?token=`.
    """
    from_query = _out_of_query(scope)
    from_subprotocols = _out_of_subprotocols(scope)
    tokens = _out_of_headers(scope) or from_subprotocols or from_query
    if tokens and tokens[0]:
        scope[HIDDEN] = Secret(tokens[0])


def _out_of_query(scope: dict[str, Any]) -> list[str]:
    query = parse_qsl(scope.get("query_string", b"").decode("latin1"), keep_blank_values=True)
    tokens = [value for key, value in query if key == "token"]
    if tokens:
        rest = [pair for pair in query if pair[0] != "token"]
        scope["query_string"] = urlencode(rest).encode()
    return tokens


def _out_of_subprotocols(scope: dict[str, Any]) -> list[str]:
    """Remove tokens in the form `realtime.token.<percent-encoded token>`.

    It is the only header of a handshake that a browser's script can set.
    """
    offered = scope.get("subprotocols") or []
    tokens = [unquote(one.removeprefix(CARRIER)) for one in offered if _is_token(one)]
    if tokens:
        scope["subprotocols"] = [one for one in offered if not _is_token(one)]
        scope["headers"] = [
            (name, _without_tokens(value) if name.lower() == b"sec-websocket-protocol" else value)
            for name, value in scope.get("headers", [])
        ]
    return tokens


def _out_of_headers(scope: dict[str, Any]) -> list[str]:
    headers = [*scope.get("headers", [])]
    bearers = [header for header in headers if _is_bearer(*header)]
    if bearers:
        scope["headers"] = [header for header in headers if header not in bearers]
    return [str(value[7:], "latin1").strip() for _, value in bearers]


def pop_token(scope: dict[str, Any]) -> str | None:
    """Return the token of a handshake and remove it from the scope; None if there is none."""
    hide_token(scope)
    token = scope.pop(HIDDEN, None)
    return None if token is None else token.reveal()


def cookies_of(scope: dict[str, Any]) -> dict[str, str]:
    """Return the cookies of a handshake, parsed as Django does.

    In HTTP/2 and 3 a browser may send each in its own header (RFC 9113, section 8.2.3).
    """
    found = [value for name, value in scope.get("headers", []) if name == b"cookie"]
    text = "; ".join(value.decode("latin1") for value in found)
    cookies = _parsed(text)
    return _unfolded(text, cookies) if "," in text else cookies


def _unfolded(text: str, cookies: dict[str, str]) -> dict[str, str]:
    """Find the session cookie if a server has joined several headers with commas, as Daphne does.

    The value of a cookie may contain a comma, but no session key does. So only the session
    cookie is searched for, and only if it was not found otherwise.
    """
    name = settings.SESSION_COOKIE_NAME
    if name not in cookies:
        cookies = cookies | _parsed(re.sub(rf",\s*(?={re.escape(name)}=)", "; ", text))
    if name in cookies:
        cookies[name] = cookies[name].partition(",")[0]
    return cookies


def _parsed(text: str) -> dict[str, str]:
    return {key: str(one) for key, one in parse_cookie(text).items()}


def _is_token(subprotocol: str) -> bool:
    return subprotocol.startswith(CARRIER)


def _without_tokens(header: bytes) -> bytes:
    offered = [one.strip() for one in header.decode("latin1").split(",")]
    return ", ".join(one for one in offered if not _is_token(one)).encode("latin1")


def _is_bearer(name: bytes, value: bytes) -> bool:
    return name.lower() == b"authorization" and value[:7].lower() == b"bearer "
