"""Load pages while a process publishes, and count what they miss.

`python -m tests.e2e.page_loads` is the full form.
"""

import argparse
import asyncio
import json
import random
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from harness.javascript import PACKAGE, find_node
from harness.services import Services, find_browser
from harness.site import ROOT, Site, Sites, run
from tests.e2e.conftest import OPTIONS

__all__ = ["KINDS", "Loads", "Report", "serve"]

KINDS = {"live": "", "htmx4": "htmx.org", "htmx2": "htmx-2"}
"""The pages, and the package of htmx that each uses."""
CATCH_UP_SECONDS = 2
PUBLISH = """
import select, sys, time
import django
django.setup()
from tests.e2e.pieces import add
pause, due, count = 1 / float(sys.argv[1]), time.monotonic(), 0
while not select.select([sys.stdin], [], [], max(0, due - time.monotonic()))[0]:
    add(f"{sys.argv[2]} {count}")
    due, count = due + pause, count + 1
"""
THERE = "(id) => document.getElementById(id)"
CHANGE = """(state) => {
  Object.defineProperty(document, "visibilityState", { configurable: true, get: () => state });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
FOUND = """([prefix, last]) => {
  const texts = [...document.querySelectorAll("#list li")].map((item) => item.textContent);
  const numberOf = (text) => Number(text.split(" ").at(-1));
  const numbers = texts.filter((text) => text.startsWith(prefix)).map(numberOf);
  const end = numberOf(document.getElementById(last).textContent);
  const known = new Set(numbers);
  const found = [...known].filter((number) => number <= end).length;
  const wanted = end - Math.min(...numbers) + 1; // an entry may be older than the items
  return { end, missing: wanted - found, twice: numbers.length - known.size };
}"""
"""Items are numbered without a gap."""


@dataclass
class Report:
    """What came of the pages."""

    loads: int = 0
    hidden: int = 0
    """How many were hidden and shown again."""
    fragments: int = 0
    missing: int = 0
    twice: int = 0
    per_second: float = 0
    """How many fragments were published a second."""


def serve(site: Site, folder: Path) -> None:
    """Collect the static files of a site, and start a server on them."""
    find_node()
    folder.joinpath("htmx").mkdir(parents=True)
    for name, package in KINDS.items():
        if package:
            file = PACKAGE / "node_modules" / package / "dist" / "htmx.js"
            shutil.copy(file, folder / "htmx" / f"{name}.js")
    site.env |= {
        "DJANGO_SETTINGS_MODULE": "tests.e2e.pieces_settings",
        "PIECES_HTMX": str(folder / "htmx"),
        "PIECES_STATIC": str(folder / "static"),
    }
    run("manage.py", "collectstatic", "--noinput", "-v0", env=site.env)
    site.start("daphne")


class Loads:
    """Tabs that load a page again and again, and half of the time are hidden for a moment."""

    def __init__(self, browser: Browser, site: Site, kind: str) -> None:
        self.browser, self.site = browser, site
        self.url = f"{site.servers[0].url}/pieces/{kind}/"
        self.report = Report()
        self._left = 0
        self._first, self._began, self._rate = 0, 0.0, 0.0
        self._random = random.Random(7)

    async def run(self, loads: int, tabs: int, per_second: float) -> Report:
        """Load the page so often in all, in so many tabs, under so many entries a second."""
        self._left = loads
        context = await self.browser.new_context()
        pages = [await context.new_page() for _number in range(tabs)]
        command = [sys.executable, "-c", PUBLISH, str(per_second), self.url]
        before = await asyncio.to_thread(self._newest)
        self._rate = per_second
        with subprocess.Popen(command, cwd=ROOT, env=self.site.env, stdin=subprocess.PIPE) as sends:
            try:
                await self._begun(before)
                await asyncio.gather(*(self._load_all(page) for page in pages))
                self.report.per_second = await self._published() / (time.monotonic() - self._began)
            finally:
                sends.communicate(b"end\n")
        await context.close()
        return self.report

    async def _load_all(self, page: Page) -> None:
        while self._left > 0:
            self._left -= 1
            await self._until_published()
            await page.goto(self.url)
            await asyncio.sleep(self._random.uniform(0, 0.3))  # some entries come meanwhile
            if self._random.random() < 0.5:
                await self._hide(page)
            await self._check(page)

    async def _hide(self, page: Page) -> None:
        """Hide a page, which the browser freezes meanwhile. (Headless, it shows all of them.)"""
        session = await page.context.new_cdp_session(page)
        await page.evaluate(CHANGE, "hidden")
        await session.send("Page.setWebLifecycleState", {"state": "frozen"})
        await asyncio.sleep(self._random.uniform(0, 0.5))
        await session.send("Page.setWebLifecycleState", {"state": "active"})
        await page.evaluate(CHANGE, "visible")
        await session.detach()
        self.report.hidden += 1

    async def _check(self, page: Page) -> None:
        """Wait until the page shows what is published by now, and count what it lacks."""
        last = f"item-{await asyncio.to_thread(self._newest)}"
        await page.wait_for_function(THERE, arg=last, timeout=30_000, polling=50)
        found = await page.evaluate(FOUND, [self.url, last])
        self.report.loads += 1
        self.report.missing += found["missing"]
        self.report.twice += found["twice"]
        self.report.fragments = max(self.report.fragments, found["end"])

    async def _begun(self, before: int) -> None:
        while await asyncio.to_thread(self._newest) == before:
            await asyncio.sleep(0.1)
        self._first = await asyncio.to_thread(self._newest)
        self._began = time.monotonic()

    async def _published(self) -> int:
        return await asyncio.to_thread(self._newest) - self._first

    async def _until_published(self) -> None:
        """Let the publisher catch up for some seconds: loading pages takes all CPU time."""
        began = time.monotonic()
        due = (began - self._began) * self._rate
        while await self._published() < due - self._rate:
            if time.monotonic() - began > CATCH_UP_SECONDS:
                return
            await asyncio.sleep(0.1)

    def _newest(self) -> int:
        with urllib.request.urlopen(f"{self.site.servers[0].url}/newest", timeout=20) as answer:
            return int(answer.read())


async def main() -> int:
    """Run the full form, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.page_loads")
    parser.add_argument("--kind", choices=KINDS, default="live")
    parser.add_argument("--loads", type=int, default=1000)
    parser.add_argument("--tabs", type=int, default=4)
    parser.add_argument("--per-second", type=float, default=50)
    chosen = parser.parse_args()
    services = Services()
    try:
        with ExitStack() as stack:
            site = Sites(services).make(stack, servers=(), settings={"GUESTS": True})
            serve(site, services.folder / "pieces")
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(
                    executable_path=find_browser(), args=OPTIONS
                )
                loads = Loads(browser, site, chosen.kind)
                report = await loads.run(chosen.loads, chosen.tabs, chosen.per_second)
        sys.stdout.write(f"{json.dumps(vars(report))}\n")
    finally:
        services.stop()
    return int(report.missing + report.twice > 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
