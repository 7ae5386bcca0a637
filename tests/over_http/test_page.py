"""The code of docs/http.md runs."""

import re
from pathlib import Path
from typing import Any

from django.test import override_settings
from django.urls import include, path

from realtime.engine.engine import Engine
from realtime.over_http import PlainHttp
from tests.over_http.http_client import Exchange

PAGE = Path(__file__).parents[2] / "docs" / "http.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


class Routes:
    """The addresses of a site, as a module has them."""


async def test_an_asgi_file_and_an_address_of_ones_own(engine: Engine) -> None:
    """Requests come to the socket at the path that the address names."""
    made: dict[str, Any] = {}
    for snippet in SNIPPETS:
        exec(snippet, made)
    routes: Any = Routes()
    routes.urlpatterns = [*made["urlpatterns"], path("realtime/", include("realtime.urls"))]
    seen = []

    async def sockets(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await send({"type": "websocket.close"})

    with override_settings(ROOT_URLCONF=routes):
        [welcome] = await Exchange(made["application"]).commands()
        assert welcome["type"] == "welcome"
        board = Exchange(PlainHttp(None, sockets), path="/board/http")
        assert await board.refused() == (404, "unknown_type")
    assert seen == ["/board/"]
