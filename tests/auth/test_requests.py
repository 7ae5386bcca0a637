"""Handshakes are read as Django reads the requests of pages: the same table is given to both."""

from io import BytesIO
from typing import Any

import django
import pytest
from asgiref.testing import ApplicationCommunicator
from channels.routing import URLRouter
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.template import Context, Template
from django.urls import Resolver404, clear_script_prefix, resolve, set_script_prefix
from django.urls.resolvers import URLPattern
from pytest_django.fixtures import Settings

from realtime.asgi import BelowScriptName
from realtime.auth.handshake import cookies_of
from realtime.auth.request import HandshakeRequest
from realtime.page import socket_path
from realtime.routing import SocketPattern

Headers = list[tuple[bytes, bytes]]
PROXY = {
    "USE_X_FORWARDED_HOST": True,
    "USE_X_FORWARDED_PORT": True,
    "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
}
HOST = (b"host", b"example.com")

HEADERS: dict[str, Headers] = {
    "a host": [HOST],
    "a port": [(b"host", b"example.com:8443")],
    "a dot at the end": [(b"host", b"example.com.")],
    "a dot and a port": [(b"host", b"example.com.:8443")],
    "two dots": [(b"host", b"example.com..")],
    "in capitals": [(b"host", b"EXAMPLE.com")],
    "a subdomain": [(b"host", b"a.example.com")],
    "an address": [(b"host", b"[::1]:80")],
    "no host": [],
    "an empty host": [(b"host", b"")],
    "two hosts": [HOST, (b"host", b"evil.example")],
    "the same host twice": [HOST, HOST],
    "two hosts in one": [(b"host", b"example.com,evil.example")],
    "a user": [(b"host", b"a@example.com")],
    "a path": [(b"host", b"example.com/x")],
    "a space": [(b"host", b" example.com")],
    "bytes": [(b"host", b"example.com\xff")],
    "forwarded": [(b"host", b"inner:8000"), (b"x-forwarded-host", b"example.com")],
    "forwarded twice": [HOST, (b"x-forwarded-host", b"example.com"), (b"x-forwarded-host", b"a.b")],
    "forwarded with a list": [HOST, (b"x-forwarded-host", b"example.com, inner")],
    "forwarded and empty": [HOST, (b"x-forwarded-host", b"")],
    "by an underscore": [HOST, (b"x_forwarded_host", b"evil.example")],
    "secure": [HOST, (b"x-forwarded-proto", b"https")],
    "secure in capitals": [HOST, (b"x-forwarded-proto", b"HTTPS")],
    "secure by an underscore": [HOST, (b"x_forwarded_proto", b"https")],
    "secure, then not": [HOST, (b"x-forwarded-proto", b"https"), (b"x-forwarded-proto", b"http")],
    "secure in a list": [HOST, (b"x-forwarded-proto", b" https , http")],
    "insecure": [HOST, (b"x-forwarded-proto", b"http")],
    "insecure and empty": [HOST, (b"x-forwarded-proto", b"")],
    "a forwarded port": [(b"x-forwarded-port", b"8443"), (b"x-forwarded-proto", b"https")],
}
COOKIES: dict[str, Headers] = {
    "none": [],
    "one": [(b"cookie", b"sessionid=a; csrftoken=b")],
    "quoted": [(b"cookie", b'sessionid="a b"; x; y=\xe9')],
    "doubled": [(b"cookie", b"sessionid=a; sessionid=b")],
    "odd": [(b"cookie", b"; =a; b=; ;;c=d=e;")],
    "in several headers": [(b"cookie", b"csrftoken=b"), (b"cookie", b"sessionid=a")],
    "in several headers with ends": [
        (b"cookie", b"csrftoken=b;"),
        (b"cookie", b"sessionid=a; x=y"),
    ],
    "doubled over headers": [(b"cookie", b"sessionid=a"), (b"cookie", b"sessionid=b")],
}


def scope(headers: Headers, **more: Any) -> dict[str, Any]:
    found = {"type": "websocket", "path": "/ws", "query_string": b"", "headers": headers}
    return found | {"server": ("127.0.0.1", 80), "client": ("127.0.0.1", 5)} | more


def page(of: dict[str, Any]) -> ASGIRequest:
    """Django's request for a page with the same headers."""
    return ASGIRequest({**of, "type": "http", "method": "GET"}, BytesIO())


@pytest.mark.parametrize("proxy", [False, True])
@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("name", HEADERS)
def test_host_and_scheme_are_those_of_a_page(
    settings: Settings, name: str, is_tls: bool, proxy: bool
) -> None:
    """Whether proxies are believed or not, with TLS by the server itself or without."""
    settings.ALLOWED_HOSTS = [".example.com", "[::1]"]
    for key, value in PROXY.items() if proxy else ():
        setattr(settings, key, value)
    theirs = page(scope(HEADERS[name], scheme="https" if is_tls else "http"))
    try:
        host = theirs.get_host().lower()
    except DisallowedHost:
        host = None
    ours = HandshakeRequest(scope(HEADERS[name], scheme="wss" if is_tls else "ws"))
    assert (ours.own_host, ours.is_secure()) == (host, theirs.is_secure())


@pytest.mark.parametrize("name", COOKIES)
def test_cookies_are_those_of_a_page(name: str) -> None:
    """Also where HTTP/2 has split them; Django joins those with the right mark from 6.1 on."""
    made = scope(COOKIES[name])
    found = cookies_of(made)
    if len(made["headers"]) < 2 or django.VERSION >= (6, 1):
        assert found == page(made).COOKIES
    if "several" in name:
        assert (found["sessionid"], found["csrftoken"]) == ("a", "b")


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (b"csrftoken=b,sessionid=a", "a"),
        (b"csrftoken=b, sessionid=a, x=y", "a"),
        (b"sessionid=a,csrftoken=b", "a"),
        (b"x=1,sessionid=b; sessionid=a", "a"),
        (b"x=1,xsessionid=b", None),
        (b"x=1,2,3", None),
    ],
)
def test_a_session_is_found_where_the_server_has_joined_headers(
    header: bytes, key: str | None
) -> None:
    """As Daphne does, by a comma; the site's own value of a cookie may have one as well."""
    assert cookies_of(scope([(b"cookie", header)])).get("sessionid") == key


SCRIPT_NAMES = [
    ("", "", "", True),
    ("/chat", "", "/chat", True),
    ("/chat", "", "", True),
    ("", "/chat", "/chat", True),
    ("", "/chat", "", True),
    ("/chat", "/other", "/chat", True),
    ("/chat", "", "/other", False),
    ("", "", "/chat", False),
]


@pytest.mark.parametrize(("setting", "root", "before", "is_found"), SCRIPT_NAMES)
async def test_a_socket_is_found_below_a_path_where_a_page_is(
    settings: Settings, setting: str, root: str, before: str, is_found: bool
) -> None:
    """The script name by the setting or the server; the proxy keeps it in the path, or cuts it."""
    settings.FORCE_SCRIPT_NAME = setting or None
    theirs = page(scope([], path=f"{before}/login/", root_path=root))
    try:
        is_page = bool(resolve(theirs.path_info))
    except Resolver404:
        is_page = False
    found = [await routed(f"{before}/ws{slash}", root) for slash in ("", "/")]
    assert (is_page, found) == (is_found, [is_found, is_found])


@pytest.mark.parametrize("path", ["/chatws", "/chat", "/chat//", "/wss", "/xws"])
async def test_nothing_else_is_taken_for_a_socket(settings: Settings, path: str) -> None:
    """A script name ends with a slash."""
    settings.FORCE_SCRIPT_NAME = "/chat"
    assert not await routed(path, "")


async def routed(path: str, root: str) -> bool:
    """Whether our router leads a path to the socket."""
    seen: list[str] = []

    async def route(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])

    router = BelowScriptName(URLRouter([_pattern(route)]))
    try:
        communicator = ApplicationCommunicator(router, scope([], path=path, root_path=root))
        await communicator.wait()
    except Resolver404:
        return False
    return seen == [path]


def _pattern(route: Any) -> Any:
    return URLPattern(SocketPattern(r"^ws/?$", is_endpoint=True), route)


@pytest.mark.parametrize(("path", "is_found"), [("chat/ws", True), ("ws/", True), ("x/ws", False)])
def test_a_router_of_a_site_finds_the_socket_below_the_script_name(
    settings: Settings, path: str, is_found: bool
) -> None:
    """That of Channels cuts off only what the server calls the root."""
    settings.FORCE_SCRIPT_NAME = "/chat"
    assert (SocketPattern(r"^ws/?$", is_endpoint=True).match(path) is not None) is is_found


def test_a_page_is_told_where_the_socket_is() -> None:
    """By a function and in a template."""
    text = "{% load realtime %}{% realtime_socket %}"
    assert (socket_path(), Template(text).render(Context())) == ("/ws/", "/ws/")
    set_script_prefix("/chat/")
    try:
        assert (socket_path(), Template(text).render(Context())) == ("/chat/ws/", "/chat/ws/")
    finally:
        clear_script_prefix()
