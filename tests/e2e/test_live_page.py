"""The live page of the admin in a browser, against two processes."""

import asyncio
import re
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Browser, Locator, Page, WebSocketRoute, expect

from harness.client.crowd import Crowd
from harness.client.websocket import Client
from harness.live_page import LIVE, Meter, numbers_of
from harness.site import UNLIMITED, Factory, Site
from harness.waiting import eventually
from realtime.engine.series import STEP_SECONDS
from tests.e2e.chat import sign_in
from tests.e2e.errors import without_errors

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


async def test_the_numbers_of_the_page_are_those_that_clients_have_counted(
    site: Site, browser: Browser
) -> None:
    """The short form of `python -m benchmarks.live_page`; the page is on another process."""
    key, crowd, pid = sign_in(site, "admin")["admin"], Crowd("room-1"), site.servers[0].pid
    page = await new_page(browser, site, key)
    meter = Meter(page)
    await page.goto(LIVE)
    own = page.locator(".realtime-nodes tbody tr").filter(has_not_text=str(pid))
    await expect(own).to_have_count(1, timeout=30_000)
    before = await numbers_of(page, pid)
    await crowd.enter([site.urls[1]], 100)
    await crowd.speak(1, 0.02)
    await eventually(lambda: crowd.is_told)
    async with asyncio.timeout(20):
        while True:
            shown = await numbers_of(page, pid)
            found = {name: shown[name] - before[name] for name in shown}
            if found == crowd.numbers:
                break
            await asyncio.sleep(0.1)
    assert 100 < meter.bytes_a_second < 100_000
    crowd.close()


async def test_a_page_has_the_time_before_it_was_opened(site: Site, browser: Browser) -> None:
    """And rooms that change are shown at once, with the names of those whose rows are in view."""
    keys = sign_in(site, "admin")
    async with await Client.connect(site.urls[1]) as guest:
        await guest.expect("welcome")
        await guest.join("room-2")
        await asyncio.sleep(2 * STEP_SECONDS)
        page = await new_page(browser, site, keys["admin"])
        await page.goto(LIVE)
        line = page.locator(".realtime-chart polyline").first
        await expect(line).to_have_attribute("points", re.compile(r"\S+ \S+ \S+"))
        row = page.locator(".realtime-rows[data-of=places] [role=row]").filter(has_text="room-2")
        await expect(row.get_by_role("cell")).to_have_text(
            ["room-2", "room", "1", "0", "1", "0", re.compile(r"\d+")]
        )
        clients = page.locator(f"{CLIENTS} .realtime-body [role=row]")
        await expect(clients.filter(has_text="room-2")).to_have_count(1)
        position = int(await row.get_by_role("cell").last.inner_text())
        await guest.say("room-2", "Hello")
        await expect(row.get_by_role("cell").last).to_have_text(str(position + 1))
        await expect(row.get_by_role("cell").nth(5)).to_have_text("0.2")
        await guest.close()
        await expect(row).to_have_count(0)


async def test_a_row_keeps_the_focus_while_the_page_goes_on(site: Site, browser: Browser) -> None:
    keys = sign_in(site, "admin")
    page = await new_page(browser, site, keys["admin"])
    await page.goto(LIVE)
    box = page.locator(f"{CLIENTS} .realtime-body input")
    await expect(box).to_have_count(1)
    await box.focus()
    idle = page.locator(f"{CLIENTS} .realtime-body [role=row] [role=cell]").nth(6)
    await expect(idle).not_to_have_text(await idle.inner_text(), timeout=10_000)
    await expect(box).to_be_focused()
    await page.keyboard.press("Space")
    await expect(box).to_be_checked()


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


async def test_a_process_that_stops_hands_its_last_minutes_over(site: Site) -> None:
    """A page that opens later asks another process for them."""
    key, crowd = sign_in(site, "admin")["admin"], Crowd("room-3")
    async with await Client.connect(site.urls[0]) as first:
        await first.expect("welcome")  # a process hears others once it has served a socket
    [server] = site.start("daphne")
    await crowd.enter([server.ws], 5)
    await crowd.speak(0.5, 0.05)
    await eventually(lambda: crowd.is_told)
    crowd.close()
    await asyncio.to_thread(server.terminate)
    cookie = {"Cookie": f"sessionid={key}"}
    async with await Client.connect(
        site.urls[0], headers=cookie, origin=site.servers[0].url
    ) as one:
        node = (await one.expect("welcome"))["connection"].split(".")[0]
        answer = await one.call("realtime/live", "inspect_node", node=node, what="ended")
    deliveries = [sum(step[5] for step in row["steps"]) for row in answer["rows"]]
    assert crowd.numbers["deliveries"] in deliveries
