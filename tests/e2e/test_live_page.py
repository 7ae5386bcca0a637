"""The live page of the admin in a browser, against two processes."""

import re
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Browser, Locator, Page, WebSocketRoute, expect

from harness.client.websocket import Client
from harness.site import UNLIMITED, Factory, Site
from tests.e2e.chat import sign_in
from tests.e2e.errors import without_errors

LIVE = "/admin/realtime/live/"
CLIENTS = ".realtime-rows[data-of=clients]"


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    settings = {**UNLIMITED, "GUESTS": True}
    return make_shared_site(servers=("daphne", "daphne"), settings=settings)


async def new_page(browser: Browser, site: Site, key: str) -> Page:
    """Make a page of the user of this session, on the first process."""
    url = site.servers[0].url
    context = await browser.new_context(base_url=url, viewport={"width": 1280, "height": 1400})
    await context.add_cookies([{"name": "sessionid", "value": key, "url": url}])
    return await context.new_page()


def value(page: Page, title: str) -> Locator:
    return page.locator(".realtime-chart").filter(has_text=title).locator("output")


async def test_the_page_shows_both_processes_and_all_clients(site: Site, browser: Browser) -> None:
    """Those that are there, those that come and those that go, and what they have done."""
    keys = sign_in(site, "admin")
    async with AsyncExitStack() as stack:
        for number in range(30):
            client = await stack.enter_async_context(await Client.connect(site.urls[number % 2]))
            await client.expect("welcome")
            await client.join("general")
        with without_errors(browser):
            page = await new_page(browser, site, keys["admin"])
            await page.goto(LIVE)
            await expect(page.locator(".realtime-nodes tbody tr")).to_have_count(2)
            count = page.locator(".realtime-count[data-of=clients]")
            await expect(count).to_have_text("31 of 31")
            await expect(value(page, "Connections")).to_have_text("31")
            places = page.locator(".realtime-rows[data-of=places] .realtime-body [role=row]")
            await expect(places.first).to_contain_text("general")
            await expect(places.first).to_contain_text("30")
            async with await Client.connect(site.urls[1]) as late:
                await late.expect("welcome")
                await expect(count).to_have_text("32 of 32")
            await expect(count).to_have_text("31 of 31")


async def test_a_report_that_is_missing_is_made_up_for(site: Site, browser: Browser) -> None:
    """Reports are not kept: the page reads the clients again if their number differs."""
    key = sign_in(site, "admin")["admin"]
    lost: set[str] = set()

    def relay(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def pass_on(frame: str | bytes) -> None:
            text = frame if isinstance(frame, str) else frame.decode("latin-1")
            if not any(name in text and "report" in text for name in lost):
                route.send(frame)

        server.on_message(pass_on)

    page = await new_page(browser, site, key)
    await page.route_web_socket(re.compile("/ws/"), relay)
    await page.goto(LIVE)
    count = page.locator(".realtime-count[data-of=clients]")
    await expect(count).to_have_text("1 of 1")
    async with await Client.connect(site.urls[1]) as guest:
        lost.add((await guest.expect("welcome"))["connection"])
        await expect(count).to_have_text("2 of 2")
    await expect(count).to_have_text("1 of 1")
