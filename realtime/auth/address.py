"""Where a connection comes from, as far as that can be believed."""

from ipaddress import ip_address
from typing import Any

from ..conf import config

__all__ = ["address_of", "limited_address"]


def address_of(scope: dict[str, Any]) -> str:
    """The client's IP address; empty where nobody knows it.

    Behind `TRUSTED_PROXIES` proxies it is the entry of `X-Forwarded-For` that the outermost of
    them has written: what stands before it is whatever the client claims.
    """
    hops = config().trusted_proxies
    if hops:
        entries = _forwarded(scope)
        return _clean(entries[-hops]) if len(entries) >= hops else ""
    client = scope.get("client")
    return _clean(client[0]) if client else ""


def limited_address(scope: dict[str, Any]) -> str:
    """The address to count connections by; empty where it may be that of a proxy.

    Without `TRUSTED_PROXIES` a private address is most likely one, and all users come from it.
    """
    address = address_of(scope)
    if config().trusted_proxies or not address or ip_address(address).is_global:
        return address
    return ""


def _forwarded(scope: dict[str, Any]) -> list[str]:
    values = [value for name, value in scope.get("headers", []) if name == b"x-forwarded-for"]
    return [one.strip() for one in b",".join(values).decode("latin1").split(",") if one.strip()]


def _clean(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return ""
