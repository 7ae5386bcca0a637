"""Tokens of people who are known, and asking the pages of `_people` to do something."""

import asyncio
import json
import time
import urllib.request
from typing import Any

import jwt

from harness.site import Server, Site

__all__ = ["SETTINGS", "do", "headers_of", "somebody", "token"]

KEY = "a secret of at least thirty-two bytes"
AUDIENCE, ISSUER = "realtime", "https://issuer.example"
SETTINGS: dict[str, Any] = {
    "AUTHENTICATORS": [
        "realtime.auth.users.ScopeUser",
        "realtime.auth.sessions.SessionCookie",
        "realtime.auth.tickets.Ticket",
        "realtime.auth.web_tokens.WebToken",
    ],
    "JWT_ALGORITHMS": ["HS256"],
    "JWT_KEY": KEY,
    "JWT_AUDIENCE": AUDIENCE,
    "JWT_ISSUER": ISSUER,
}


def token(pk: int, seconds: float = 3600, **claims: Any) -> str:
    """A good JWT."""
    now = int(time.time())
    told = {"sub": str(pk), "exp": now + seconds, "aud": AUDIENCE, "iss": ISSUER, **claims}
    return jwt.encode(told, KEY, algorithm="HS256")


def headers_of(made: Any) -> dict[str, str]:
    """Those of a session."""
    return {"Cookie": f"sessionid={made['session']}"}


async def do(server: Server, what: str, session: str = "", **values: Any) -> Any:
    """Have a page do something."""

    def post() -> Any:
        headers = {"Cookie": f"sessionid={session}"} if session else {}
        asked = urllib.request.Request(
            f"{server.url}/do/{what}", json.dumps(values).encode(), headers, method="POST"
        )
        with urllib.request.urlopen(asked, timeout=30) as response:
            return json.load(response)

    return await asyncio.to_thread(post)


async def somebody(site: Site, name: str) -> Any:
    """A new user, with a session and a ticket."""
    return await do(site.servers[0], "make", name=name)
