"""Show that the live page is right and smooth with many clients: `python -m benchmarks.live_page`.

Three Daphne processes, one of them for the page, a crowd with traffic, and the page in Chromium.
The counts of the page have to be those of the crowd, no task of the page may be long while it is
used, and its bytes are counted.
"""

import argparse
import asyncio
import json
import sys
from typing import Any

from playwright.async_api import Page, async_playwright

from benchmarks.runner import ground
from harness.client.crowd import Crowd
from harness.live_page import LIVE, LONG_TASKS, Meter, numbers_of
from harness.services import create_database, find_browser
from harness.site import UNLIMITED, Site, migrate
from harness.waiting import eventually

SETTINGS = {**UNLIMITED, "HEARTBEAT_SECONDS": 600}
"""Without heartbeats, the numbers rest when the crowd does."""
LONG_MS = 100
TELL_SECONDS, REST_SECONDS = 120, 3
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu"]
ADMIN = """
import django
django.setup()
from django.contrib.auth import get_user_model
from django.test import Client
client = Client()
client.force_login(get_user_model().objects.create_superuser("admin"))
print(client.cookies["sessionid"].value)
"""


def main() -> int:
    """Run with the options of the command line; 1 if the page is wrong or not smooth."""
    options = _options()
    with ground() as place:
        url = create_database(place.postgres.url, "live_page")
        migrate(url)
        env = {"REALTIME_TEST_SETTINGS": json.dumps(SETTINGS)}
        site = Site(place.folder, url, place.redis, env)
        try:
            site.start("daphne", "daphne", "daphne")
            figures = asyncio.run(_measure(site, options))
        finally:
            for server in site.servers:
                server.kill()
    print(json.dumps(figures, indent=1))
    return int(figures["page"] != figures["crowd"] or figures["longest_task_ms"] > LONG_MS)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_page", description=__doc__)
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=10, help="how long the crowd speaks")
    parser.add_argument("--pause", type=float, default=1, help="between two messages, in seconds")
    parser.add_argument("--screenshot", default="", metavar="FILE")
    return parser.parse_args()


async def _measure(site: Site, options: argparse.Namespace) -> dict[str, Any]:
    key, crowd = site.run("-c", ADMIN).strip(), Crowd()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_browser(), args=OPTIONS)
        await crowd.enter([server.ws for server in site.servers[1:]], options.clients)
        print(f"{options.clients} clients are in the room", file=sys.stderr)
        url = site.servers[0].url
        context = await browser.new_context(base_url=url, viewport={"width": 1500, "height": 1700})
        await context.add_cookies([{"name": "sessionid", "value": key, "url": url}])
        try:
            return await _use(await context.new_page(), site, crowd, options)
        finally:
            crowd.close()
            await browser.close()


async def _use(page: Page, site: Site, crowd: Crowd, options: argparse.Namespace) -> dict[str, Any]:
    await page.add_init_script(LONG_TASKS)
    meter = Meter(page)
    await page.goto(LIVE)
    everyone = f"{options.clients + 1:,} of {options.clients + 1:,}"
    count = page.locator(".realtime-count[data-of=clients]")
    await count.get_by_text(everyone).wait_for(timeout=60_000)
    opening = await page.evaluate("longest()")
    pid = site.servers[0].pid
    await _resting(page, pid, crowd)
    speaking = asyncio.create_task(crowd.speak(options.seconds, options.pause))
    meter.start()
    await _scroll_sort_and_filter(page)
    await speaking
    longest, rate = await page.evaluate("longest()"), meter.bytes_a_second
    await eventually(lambda: crowd.is_told, TELL_SECONDS)
    shown = await _resting(page, pid, crowd)
    if options.screenshot:
        await page.screenshot(path=options.screenshot)
    return {
        "longest_task_ms": longest,
        "longest_task_of_opening_ms": opening,
        "bytes_a_second": round(rate),
        "lost": crowd.lost,
        "page": shown,
        "crowd": crowd.numbers,
    }


async def _resting(page: Page, pid: int, crowd: Crowd) -> dict[str, int]:
    """Wait until neither the page nor the crowd counts any more; return what the page shows."""
    last = await numbers_of(page, pid), crowd.numbers
    for _ in range(60):
        await asyncio.sleep(REST_SECONDS)
        now = await numbers_of(page, pid), crowd.numbers
        if now == last:
            break
        last = now
    return last[0]


async def _scroll_sort_and_filter(page: Page) -> None:
    table = page.locator(".realtime-rows[data-of=clients]")
    await table.hover()
    for _ in range(20):
        await page.mouse.wheel(0, 3000)
        await asyncio.sleep(0.1)
    for name in ("User", "Address", "Since", "Idle", "Out", "Lag"):
        await table.get_by_role("button", name=name, exact=True).click()
        await asyncio.sleep(0.3)
    await page.get_by_label("Filter clients").press_sequentially("guest 127.0", delay=60)
    await page.get_by_label("Filter clients").fill("")
    await asyncio.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
