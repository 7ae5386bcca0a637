"""Checks of the allowed origins, and of proxies."""

import re
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning

from .configured import configured

__all__ = ["check_origins", "check_proxies"]

HOST = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*"
ENTRY = re.compile(rf"https?://(?:(?:\*\.)?{HOST}|\[[0-9a-f:.]+\])(?::[0-9]{{1,5}})?")


@register("realtime")
def check_origins(**kwargs: Any) -> list[CheckMessage]:
    """Check that origins are written as browsers send them (E015)."""
    return [
        Error(
            f"REALTIME['ALLOWED_ORIGINS'] has {origin!r}, which no browser sends.",
            hint="Write scheme, host and, if it is not the usual one, port: "
            '"https://www.example.com", "https://*.example.com", "http://localhost:8000". '
            "All in lower case, without a slash at the end, a path, or spaces.",
            id="realtime.E015",
        )
        for origin in configured("allowed_origins")
        if not ENTRY.fullmatch(origin)
    ]


@register("realtime")
def check_proxies(**kwargs: Any) -> list[CheckMessage]:
    """Check that the number of proxies is set if other settings show that there are any (W014)."""
    given = getattr(settings, "REALTIME", {})
    if isinstance(given, dict) and "TRUSTED_PROXIES" in given:
        return []
    named = [
        name
        for name in ("SECURE_PROXY_SSL_HEADER", "USE_X_FORWARDED_HOST", "USE_X_FORWARDED_PORT")
        if getattr(settings, name, None)
    ]
    if not named:
        return []
    text = f"{named[0]} says that there is a proxy, and TRUSTED_PROXIES is not set."
    hint = (
        "All clients seem to come from the proxy's address: limits and bans by address do not "
        "work. Set REALTIME['TRUSTED_PROXIES'] to the number of proxies of your own; 0 is for "
        "proxies that do not add to X-Forwarded-For."
    )
    return [CheckWarning(text, hint=hint, id="realtime.W014")]
