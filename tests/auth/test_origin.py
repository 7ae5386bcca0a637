"""Origins: only the site's own pages open sockets in a browser's name."""

from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from pytest_django.fixtures import Settings

from realtime.auth.origin import OriginCheck, is_allowed


def handshake(origin: str | None, host: str = "chat.example.com", **more: str) -> dict[str, Any]:
    headers = [(b"host", host.encode("latin1"))]
    if origin is not None:
        headers.append((b"origin", origin.encode("latin1")))
    headers += [(name.encode(), value.encode()) for name, value in more.items()]
    return {"type": "websocket", "headers": headers}


@pytest.fixture(autouse=True)
def site(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["chat.example.com", "localhost", "[::1]"]
    settings.CSRF_TRUSTED_ORIGINS = []
    settings.REALTIME = {}


OWN = [
    ("http://chat.example.com", "chat.example.com"),
    ("https://chat.example.com", "chat.example.com"),
    ("https://CHAT.Example.COM", "chat.example.com"),
    ("https://chat.example.com:443", "chat.example.com"),
    ("http://chat.example.com:80", "chat.example.com"),
    ("http://chat.example.com", "chat.example.com:80"),
    ("http://localhost:8000", "localhost:8000"),
    ("http://[::1]:8000", "[::1]:8000"),
]


@pytest.mark.parametrize(("origin", "host"), OWN)
def test_the_sites_own_pages_are_let_in(origin: str, host: str) -> None:
    """The same host and port, whatever the case."""
    assert is_allowed(handshake(origin, host))


FORGED = {
    "another site": "https://evil.example",
    "null": "null",
    "empty": "",
    "a suffix": "https://chat.example.com.evil.example",
    "a prefix": "https://evilchat.example.com",
    "a subdomain": "https://evil.chat.example.com",
    "the parent": "https://example.com",
    "another port": "https://chat.example.com:8443",
    "the other scheme's port": "https://chat.example.com:80000",
    "another scheme": "ftp://chat.example.com",
    "an extension": "chrome-extension://chat.example.com",
    "no scheme": "chat.example.com",
    "only slashes": "//chat.example.com",
    "a user": "https://chat.example.com@evil.example",
    "a user before": "https://evil.example@chat.example.com",
    "a path": "https://chat.example.com/",
    "a query": "https://chat.example.com?x",
    "a fragment": "https://evil.example#chat.example.com",
    "a backslash": "https://evil.example\\chat.example.com",
    "a space": "https://chat.example.com ",
    "two": "https://chat.example.com https://evil.example",
    "a line break": "https://chat.example.com\n",
    "a trailing dot": "https://chat.example.com.",
    "a port that is none": "https://chat.example.com:",
    "a port of letters": "https://chat.example.com:443a",
    "another script": "https://ch\xe0t.example.com",
    "an address": "https://127.0.0.1",
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_and_malformed_origins_are_refused(name: str) -> None:
    """Exact, or not at all."""
    assert not is_allowed(handshake(FORGED[name]))


def test_a_host_with_a_port_wants_that_port() -> None:
    """A page on another port of the same machine is another site."""
    for origin in ("http://localhost", "http://localhost:8001", "https://localhost"):
        assert not is_allowed(handshake(origin, "localhost:8000"))


def test_two_origins_are_none() -> None:
    """No browser sends two."""
    scope = handshake("https://chat.example.com")
    scope["headers"].append((b"origin", b"https://chat.example.com"))
    assert not is_allowed(scope)


def test_a_host_that_is_not_ours_proves_nothing() -> None:
    """An origin equal to a forged Host is still foreign; so with two Hosts or none."""
    assert not is_allowed(handshake("https://evil.example", "evil.example"))
    scope = handshake("https://chat.example.com")
    scope["headers"].append((b"host", b"evil.example"))
    assert not is_allowed(scope)
    assert not is_allowed({"headers": [(b"origin", b"https://chat.example.com")]})


def test_no_origin_is_no_browser(settings: Settings) -> None:
    """It is let in, unless the site wants one."""
    assert is_allowed(handshake(None))
    settings.REALTIME = {"REQUIRE_ORIGIN": True}
    assert not is_allowed(handshake(None))
    assert is_allowed(handshake("https://chat.example.com"))


def test_listed_origins_are_let_in(settings: Settings) -> None:
    """By the package's setting, or Django's own for forms; exact as well."""
    settings.REALTIME = {"ALLOWED_ORIGINS": ["https://App.example", "app://-"]}
    settings.CSRF_TRUSTED_ORIGINS = ["https://form.example:8443"]
    for origin in ("https://app.example", "app://-", "https://form.example:8443"):
        assert is_allowed(handshake(origin))
    for origin in ("http://app.example", "https://app.example:8443", "https://form.example"):
        assert not is_allowed(handshake(origin))


def test_a_forwarded_host_counts_only_where_the_site_says_so(settings: Settings) -> None:
    """Otherwise any client could write it."""
    scope = handshake("https://chat.example.com", "inner:8000")
    scope["headers"].append((b"x-forwarded-host", b"chat.example.com"))
    assert not is_allowed(scope)
    settings.USE_X_FORWARDED_HOST = True
    assert is_allowed(scope)
    assert is_allowed(handshake("https://chat.example.com"))


def test_without_allowed_hosts_only_a_local_debug_site_has_its_own(settings: Settings) -> None:
    """As Django has it for HTTP."""
    settings.ALLOWED_HOSTS = []
    assert not is_allowed(handshake("http://localhost:8000", "localhost:8000"))
    settings.DEBUG = True
    assert is_allowed(handshake("http://localhost:8000", "localhost:8000"))
    assert not is_allowed(handshake("https://evil.example", "evil.example"))


def test_any_allowed_host_still_means_the_same_host(settings: Settings) -> None:
    """`*` opens the site, not its sockets."""
    settings.ALLOWED_HOSTS = ["*"]
    assert is_allowed(handshake("https://a.example", "a.example"))
    assert not is_allowed(handshake("https://evil.example", "a.example"))


async def test_what_it_wraps_never_sees_a_refused_handshake() -> None:
    """Refused before it is accepted; an allowed one passes untouched."""
    seen: list[object] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["headers"])
        await receive()
        await send({"type": "websocket.accept"})

    for origin, is_open in (("https://evil.example", False), ("https://chat.example.com", True)):
        headers = handshake(origin)["headers"]
        communicator = WebsocketCommunicator(OriginCheck(application), "/ws", headers=headers)
        assert (await communicator.connect())[0] is is_open
        await communicator.wait()
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://chat.example.org", True),
        ("https://a.b.example.org", True),
        ("https://example.org", False),
        ("http://chat.example.org", False),
        ("https://chat.example.org:8443", False),
        ("https://evilexample.org", False),
        ("https://chat.example.org.evil.com", False),
        ("https://evil.com/.example.org", False),
        ("https://user@chat.example.org", False),
    ],
)
def test_a_trusted_origin_may_stand_for_its_subdomains(
    settings: Any, origin: str, allowed: bool
) -> None:
    """As Django's own setting means it."""
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.example.org"]
    scope = {"headers": [(b"host", b"testserver"), (b"origin", origin.encode())]}
    assert is_allowed(scope) is allowed


@pytest.mark.parametrize(
    ("origin", "host", "is_secure", "allowed"),
    [
        ("https://chat.example.com", "chat.example.com", True, True),
        ("http://chat.example.com", "chat.example.com", True, False),
        ("HTTP://chat.example.com", "chat.example.com", True, False),
        ("http://chat.example.com:443", "chat.example.com", True, False),
        ("http://chat.example.com:443", "chat.example.com:443", True, False),
        ("https://chat.example.com:80", "chat.example.com", True, False),
        ("https://chat.example.com", "chat.example.com:443", True, True),
        ("https://chat.example.com:8443", "chat.example.com:8443", True, True),
        ("https://chat.example.com", "chat.example.com:8443", True, False),
        ("http://chat.example.com:443", "chat.example.com", False, False),
        ("https://chat.example.com:80", "chat.example.com", False, False),
        ("http://chat.example.com", "chat.example.com:443", False, False),
        ("https://chat.example.com.", "chat.example.com.", True, True),
        ("https://chat.example.com", "chat.example.com.", True, False),
    ],
)
@pytest.mark.parametrize("way", ["the server's own TLS", "a proxy's"])
def test_the_scheme_and_the_port_are_the_sites(
    settings: Settings, origin: str, host: str, is_secure: bool, allowed: bool, way: str
) -> None:
    """Whoever can change what comes without TLS must not speak for pages with it."""
    scope = handshake(origin, host)
    if way == "a proxy's":
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        scope["headers"].append((b"x-forwarded-proto", b"https" if is_secure else b"http"))
    else:
        scope["scheme"] = "wss" if is_secure else "ws"
    assert is_allowed(scope) is allowed


def test_a_site_that_sends_all_pages_to_https_has_no_others(settings: Settings) -> None:
    """Also where the proxy does not tell which handshakes came by TLS."""
    settings.SECURE_SSL_REDIRECT = True
    assert is_allowed(handshake("https://chat.example.com"))
    assert not is_allowed(handshake("http://chat.example.com"))


def test_what_a_proxy_says_of_tls_counts_only_where_the_site_believes_it() -> None:
    """Any client could write it; it could only shut itself out."""
    scope = handshake("http://chat.example.com", **{"x-forwarded-proto": "https"})
    assert is_allowed(scope)


@pytest.mark.parametrize(
    ("listed", "origin", "allowed"),
    [
        ("https://app.example", "https://app.example:443", True),
        ("https://app.example:443", "https://app.example", True),
        ("https://app.example/", "https://app.example", True),
        ("http://app.example:80", "http://app.example", True),
        ("https://app.example", "http://app.example", False),
        ("https://app.example", "http://app.example:443", False),
        ("http://app.example", "https://app.example", False),
        ("https://app.example:8443", "https://app.example", False),
        ("https://*.app.example", "http://a.app.example", False),
        ("app.example", "https://app.example", False),
    ],
)
def test_a_listed_origin_has_its_own_scheme_and_port(
    settings: Settings, listed: str, origin: str, allowed: bool
) -> None:
    """On a site with TLS as well: whoever lists one without means it."""
    settings.REALTIME = {"ALLOWED_ORIGINS": [listed]}
    assert is_allowed(handshake(origin) | {"scheme": "wss"}) is allowed
