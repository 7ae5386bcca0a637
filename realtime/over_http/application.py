"""The ASGI application around a site's pages that answers the requests of protocol v1.

It comes before Django: Django keeps a thread for each open request, and a connection to the
database if any middleware has used one.
"""

from functools import partial
from http import HTTPStatus
from typing import Any

from django.core.handlers.asgi import get_script_prefix
from django.urls import Resolver404, ResolverMatch, resolve

from ..auth.origin import admit
from ..views import durable_stream, over_http
from ..wire.errors import ErrorCode
from ..wire.text import Text as _
from .body import Body
from .durable_request import DurableRequest
from .durable_response import DurableResponse
from .line import Line, handshake
from .refusal import Refusal
from .request import CONTENT_TYPE, Mode, Request, header_of
from .response import Response

__all__ = ["PlainHttp"]

SOCKET = "/ws/"
"""The path of the package's socket, below the script name."""
STREAMS = "/streams/"
"""The part of the address of a durable stream by which it is found quickly."""
FOREIGN = _("Pages of this origin may not use this site. See ALLOWED_ORIGINS.")


class PlainHttp:
    """Answers the requests to `realtime:http` by the socket application `sockets`.

    All other requests are for `pages`, which is usually Django.
    """

    def __init__(self, pages: Any, sockets: Any) -> None:
        self.pages = pages
        self.sockets = sockets

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        found = _found(scope)
        if found is None:
            await self.pages(scope, receive, send)
            return
        path, match = found
        shown = handshake(scope, path)
        response = Response(shown, send, Mode.COMMANDS)
        try:
            if not admit(shown):
                raise Refusal(HTTPStatus.FORBIDDEN, ErrorCode.PERMISSION_DENIED, FOREIGN)
            if scope["method"] == "OPTIONS":
                await response.allow()
                return
            line = await _line(scope, match, shown, receive, send)
        except Refusal as refusal:
            await response.refuse(refusal)
            return
        if line is not None:
            await self._connect(line, shown)

    async def _connect(self, line: Line, shown: dict[str, Any]) -> None:
        send = line.present(shown)
        try:
            await self.sockets(shown, line.receive, send)
        finally:
            await line.finish()


async def _line(
    scope: dict[str, Any], match: ResolverMatch, shown: dict[str, Any], receive: Any, send: Any
) -> Line | None:
    """Return the connection that answers a request; None if its client has gone."""
    if match.func is durable_stream:
        read = DurableRequest.of(scope, match.kwargs["kind"], match.kwargs["name"])
        answer = partial(DurableResponse, shown, send, read)
        return Line(read.request, read.commands, receive, send, answer)
    request = Request.of(scope)
    body = Body(scope, receive, request.mode)
    commands = await body.next()
    if commands is None:
        return None
    respond = partial(Response, shown, send, request.mode)
    return Line(request, commands, receive, send, respond, body)


def _found(scope: dict[str, Any]) -> tuple[str, ResolverMatch] | None:
    """Return the path of the socket that a request is for; None for a page of the site."""
    if not _is_ours(scope):
        return None
    name, path = get_script_prefix(scope).rstrip("/"), scope["path"]
    is_below = path.startswith(f"{name}/")
    try:
        match = resolve(path.removeprefix(name) if is_below else path)
    except Resolver404:
        return None
    if match.func not in (over_http, durable_stream):
        return None
    return (name if is_below else "") + str(match.kwargs.get("socket", SOCKET)), match


def _is_ours(scope: dict[str, Any]) -> bool:
    """Return whether a request may be for us: looking up its address takes longer."""
    if scope["method"] == "OPTIONS":
        return bool(header_of(scope, b"access-control-request-method"))
    if scope["method"] in ("GET", "HEAD"):
        return STREAMS in scope["path"]
    kind = header_of(scope, b"content-type").partition(";")[0]
    return scope["method"] == "POST" and kind.strip().lower() == CONTENT_TYPE
