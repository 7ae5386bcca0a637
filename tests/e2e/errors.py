"""What a browser complains of while pages work: errors of scripts and of the console."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.async_api import Browser, BrowserContext, ConsoleMessage

__all__ = ["without_errors"]

EXPECTED = ("ERR_INTERNET_DISCONNECTED", "status of 409")
"""Chromium writes this when a page is offline, and when the payment of an order fails."""


@contextmanager
def without_errors(browser: Browser) -> Iterator[None]:
    """Fail in the end if a page that was opened meanwhile had an error."""
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not any(one in message.text for one in EXPECTED):
            errors.append(message.text)

    def watch(context: BrowserContext) -> None:
        context.on("weberror", lambda error: errors.append(str(error.error)))
        context.on("console", note)

    browser.on("context", watch)
    try:
        yield
    finally:
        browser.remove_listener("context", watch)
    assert errors == [], errors
