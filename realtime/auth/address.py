"""The trustworthy client address of a connection."""

from ipaddress import IPv6Address, ip_address
from typing import Any

from ..conf import config

__all__ = ["address_of"]


def address_of(scope: dict[str, Any]) -> str:
    """Return the IP address of the client; empty if it is unknown.

    Behind `TRUSTED_PROXIES` proxies it is the entry of `X-Forwarded-For` that the outermost of
    them has written. Entries before it were sent by the client and may be forged.
    """
    hops = config().trusted_proxies
    if hops:
        entries = _forwarded(scope)
        return _clean(entries[-hops]) if len(entries) >= hops else ""
    client = scope.get("client")
    return _clean(client[0]) if client else ""


def _forwarded(scope: dict[str, Any]) -> list[str]:
    values = [value for name, value in scope.get("headers", []) if name == b"x-forwarded-for"]
    return [one.strip() for one in b",".join(values).decode("latin1").split(",") if one.strip()]


def _clean(text: str) -> str:
    """Normalize an address: without the port that some proxies add, and without a zone."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return str(parsed)
