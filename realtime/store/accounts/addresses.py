"""The network by which an IP address is counted and banned."""

from ipaddress import IPv6Address, ip_address, ip_network

from ...conf import config

__all__ = ["network_of"]


def network_of(address: str) -> str:
    """Return the address itself; for IPv6 its /64, all of which one client may have.

    Empty for an address that may be a proxy's: without `TRUSTED_PROXIES`, a private address
    is most likely a proxy, from which all users come. Raises `ValueError` for any other text.
    """
    if not address:
        return ""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if not (config().trusted_proxies or parsed.is_global):
        return ""
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed.packed, 64), strict=False))
    return str(parsed)
