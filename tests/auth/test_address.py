"""Where a connection comes from, whatever it claims."""

from typing import Any

import pytest
from pytest_django.fixtures import Settings

from realtime.auth.address import address_of
from realtime.store.accounts.addresses import network_of


def scope(client: str | None, *forwarded: str) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", one.encode("latin1")) for one in forwarded]
    return {"client": None if client is None else [client, 1234], "headers": headers}


@pytest.fixture
def proxies(settings: Settings, request: pytest.FixtureRequest) -> None:
    settings.REALTIME = {**settings.REALTIME, "TRUSTED_PROXIES": request.param}


@pytest.mark.parametrize(
    ("proxies", "client", "forwarded", "address"),
    [
        (0, "8.8.8.8", [], "8.8.8.8"),
        (0, "8.8.8.8", ["1.1.1.1"], "8.8.8.8"),
        (0, "2001:DB8::0001", [], "2001:db8::1"),
        (0, "::ffff:8.8.8.8", [], "8.8.8.8"),
        (0, None, [], ""),
        (0, "<script>", [], ""),
        (1, "127.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        (1, "127.0.0.1", ["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
        (1, "127.0.0.1", ["6.6.6.6", "1.1.1.1"], "1.1.1.1"),
        (2, "127.0.0.1", ["6.6.6.6, 1.1.1.1, 10.0.0.1"], "1.1.1.1"),
        (1, "127.0.0.1", [], ""),
        (2, "127.0.0.1", ["1.1.1.1"], ""),
        (1, "127.0.0.1", ["unknown"], ""),
        (1, "127.0.0.1", [" ,, 1.1.1.1 "], "1.1.1.1"),
        (1, None, ["1.1.1.1"], "1.1.1.1"),
        (1, None, ["1.1.1.1:5678"], "1.1.1.1"),
        (1, None, ["[2001:db8::1]:80"], "2001:db8::1"),
        (1, None, ["fe80::1%" + "x" * 300], "fe80::1"),
    ],
    indirect=["proxies"],
)
def test_only_what_our_own_proxies_wrote_is_believed(
    proxies: None, client: str | None, forwarded: list[str], address: str
) -> None:
    assert address_of(scope(client, *forwarded)) == address


@pytest.mark.parametrize(
    ("proxies", "client", "forwarded", "address"),
    [
        (0, "8.8.8.8", [], "8.8.8.8"),
        (0, "127.0.0.1", [], ""),
        (0, "10.1.2.3", ["1.1.1.1"], ""),
        (0, "fd00::1", [], ""),
        (0, "::ffff:10.1.2.3", [], ""),
        (0, "::ffff:8.8.8.8", [], "8.8.8.8"),
        (0, "2606:4700:1:2:3:4:5:6", [], "2606:4700:1:2::/64"),
        (1, "127.0.0.1", ["2001:db8:1:2::7"], "2001:db8:1:2::/64"),
        (0, None, [], ""),
        (1, "127.0.0.1", ["10.1.2.3"], "10.1.2.3"),
    ],
    indirect=["proxies"],
)
def test_an_address_that_may_be_a_proxys_is_not_counted_by(
    proxies: None, client: str | None, forwarded: list[str], address: str
) -> None:
    """Behind a proxy that nobody has told us of, all users have its address."""
    assert network_of(address_of(scope(client, *forwarded))) == address
