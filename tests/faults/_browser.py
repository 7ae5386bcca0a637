"""Real browsers with many tabs of one user: Chromium, and Firefox as it is installed."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

from playwright.async_api import BrowserContext, Page, async_playwright

from harness.services import find_browser
from tests.faults._firefox import Firefox, find_firefox

__all__ = ["Browser", "Tab", "browsers", "opened"]

OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
OPTIONS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


class Tab(Protocol):
    """One tab."""

    async def goto(self, url: str) -> None:
        """Load a page, and wait for it."""

    async def run(self, function: str, argument: Any = None) -> Any:
        """Call a JavaScript function with an argument; return what it returns, or its promise."""

    async def close(self) -> None:
        """Close it, as a user does."""

    async def crash(self) -> None:
        """End its process; nothing in the page is told."""


class Browser(Protocol):
    """A browser with one profile, so that its tabs share cookies, locks and channels."""

    async def tab(self) -> Tab:
        """Open an empty tab."""


class ChromiumTab:
    def __init__(self, page: Page) -> None:
        self.page = page

    async def goto(self, url: str) -> None:
        await self.page.goto(url)

    async def run(self, function: str, argument: Any = None) -> Any:
        return await self.page.evaluate(function, argument)

    async def close(self) -> None:
        await self.page.close()

    async def back(self) -> None:
        """Go to the page before; Playwright's own method waits for a page that loads."""
        session = await self.page.context.new_cdp_session(self.page)
        history = await session.send("Page.getNavigationHistory")
        entry = history["entries"][history["currentIndex"] - 1]
        async with self.page.expect_event("framenavigated"):
            await session.send("Page.navigateToHistoryEntry", {"entryId": entry["id"]})

    async def crash(self) -> None:
        session = await self.page.context.new_cdp_session(self.page)
        crashed: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
        self.page.once("crash", lambda page: crashed.set_result(page))
        ending = asyncio.ensure_future(session.send("Page.crash"))
        await asyncio.wait_for(crashed, 10)
        ending.cancel()
        await self.page.close()


class Chromium:
    def __init__(self, context: BrowserContext) -> None:
        self.context = context

    async def tab(self) -> ChromiumTab:
        return ChromiumTab(await self.context.new_page())


@contextlib.asynccontextmanager
async def opened(name: str) -> AsyncIterator[Browser]:
    """Start a browser with a profile of its own: "chromium" or "firefox"."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if name == "firefox":
            async with Firefox.started(Path(folder)) as firefox:
                yield firefox
            return
        async with async_playwright() as playwright:
            launch = playwright.chromium.launch_persistent_context
            context = await launch(
                folder,
                executable_path=find_browser(),
                args=OPTIONS,
                ignore_default_args=["--disable-back-forward-cache"],
            )
            yield Chromium(context)
            await context.close()


def browsers(*, is_full: bool) -> list[str]:
    """Return the browsers of a fault: Chromium, and with `is_full` Firefox if it is installed."""
    return ["chromium", *(["firefox"] if is_full and find_firefox() else [])]
