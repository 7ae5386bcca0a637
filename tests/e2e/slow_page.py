"""The site with a page that takes two seconds, which a roll must not cut off."""

import asyncio
import sys
from typing import Any

from project.asgi import application as site

SECONDS = 2


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer `/slow`, and leave all else to the site."""
    if scope["type"] != "http" or scope["path"] != "/slow":
        await site(scope, receive, send)
        return
    sys.stderr.write("the page is being made\n")
    sys.stderr.flush()
    await asyncio.sleep(SECONDS)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"made"})
