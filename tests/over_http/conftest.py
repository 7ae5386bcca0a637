"""Requests of protocol v1, presented to the application without a server."""

from typing import Any

import pytest
from channels.routing import URLRouter

from realtime.engine.engine import Engine
from realtime.over_http import PlainHttp
from realtime.routing import websocket_urlpatterns
from tests.consumers.conftest import ada, bob, database, engine, private, room, sqlite_url
from tests.over_http.http_client import Exchange, session_of

__all__ = ["ada", "bob", "database", "engine", "private", "room", "sqlite_url"]


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """Stand for the pages of the site."""
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


@pytest.fixture
def site() -> PlainHttp:
    return PlainHttp(pages, URLRouter(websocket_urlpatterns))


@pytest.fixture
async def guest(site: PlainHttp, engine: Engine) -> dict[str, str]:
    """The headers of one guest, who has a name by its token."""
    welcome = (await Exchange(site).commands())[0]
    return {"authorization": f"Bearer {welcome['guest_token']}"}


@pytest.fixture
async def user(engine: Engine, ada: Any) -> dict[str, str]:
    """The headers of a page of Ada, with her session."""
    key = await session_of(ada)
    return {"cookie": f"sessionid={key}", "origin": "http://testserver"}
