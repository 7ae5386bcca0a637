"""What an IP address is counted and banned by."""

from ipaddress import IPv6Address, ip_address, ip_network

from ...conf import config

__all__ = ["network_of"]


def network_of(address: str) -> str:
    """The address itself; of IPv6 its /64, which one client may have.

    Empty where it may be that of a proxy: without `TRUSTED_PROXIES` a private address is most
    likely one, and all users come from it. Raises `ValueError` for what is no address.
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
