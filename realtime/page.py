"""The path of the socket, and the options with which the client of a page connects to it."""

from contextlib import suppress
from urllib.parse import quote

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import NoReverseMatch, get_script_prefix, reverse

from .store.accounts.identity import GUEST, Identity

__all__ = ["page_config", "request_id_of", "socket_path"]

REQUEST_ID = 100
"""The longest id of a request that is carried on."""


def socket_path() -> str:
    """Return the path of the socket, below the script name as with `reverse`."""
    return f"{get_script_prefix()}ws/"


def page_config(request: HttpRequest) -> dict[str, str]:
    """Return the options of the browser client for a page, and for the user of its request."""
    user = getattr(request, "user", None)
    is_known = user is not None and user.is_authenticated
    found = {
        "url": socket_path() + _carried(request),
        "user": Identity.of(user).user_id if is_known else GUEST,
    }
    with suppress(NoReverseMatch):
        found["http"] = reverse("realtime:http")
    with suppress(ValueError):  # of a site that serves no static files of the package
        found["client"] = static("realtime/client.js")
    return found


def request_id_of(request: HttpRequest) -> str:
    """Return the id of a request: its `id`, or its `X-Request-ID`; empty if it has neither."""
    found = getattr(request, "id", "") or request.headers.get("X-Request-ID", "")
    return str(found)[:REQUEST_ID]


def _carried(request: HttpRequest) -> str:
    """Return the id of a request as the query of the socket, for the logs of the connection."""
    request_id = request_id_of(request)
    return f"?request_id={quote(request_id, safe='')}" if request_id else ""
