"""Two people in the demo, each with a real browser; one is offline for a while."""

import re

from playwright.async_api import Browser, Page, expect

from harness.site import Demo, Factory
from harness.waiting import eventually
from tests.e2e.chat import ready, say, sees
from tests.proxy import Proxy


async def test_who_was_offline_sees_what_was_missed_once_and_in_order(
    demo: Demo, browser: Browser
) -> None:
    """Two browsers chat; the line of one is cut, ten messages pass, it comes back."""
    errors: list[str] = []
    async with Proxy(demo.port) as line:
        ann = await _enter(browser, demo.url, "Ann", errors)
        bea = await _enter(browser, f"http://127.0.0.1:{line.port}/", "Bea", errors)
        await say(ann, "hello, Bea")
        await sees(bea, "hello, Bea")
        message = bea.locator("[data-message-id]").filter(has_text="hello, Bea")
        await expect(message.locator(".kind")).to_have_text("guest")
        await say(bea, "hello, Ann")
        await sees(ann, "hello, Ann")
        line.cut()
        await expect(bea.get_by_test_id("banner")).to_be_visible(timeout=20_000)
        for number in range(10):
            await say(ann, f"missed {number}")
        line.restore()
        await sees(bea, "missed 9")
        await expect(bea.get_by_test_id("banner")).to_be_hidden(timeout=20_000)
        await say(bea, "back again")
        await sees(ann, "back again")
        said = [
            "hello, Bea",
            "hello, Ann",
            *(f"missed {number}" for number in range(10)),
            "back again",
        ]
        for page in (ann, bea):
            assert await _shown(page, len(said)) == said
            for name in ("Ann", "Bea"):
                await expect(page.get_by_test_id("members")).to_contain_text(name)
    assert errors == []


async def test_a_page_that_says_nothing_keeps_its_connection_by_its_answers(
    make_site: Factory, browser: Browser
) -> None:
    """The server ends whoever is silent for two heartbeats; a page needs no timers to answer."""
    site = make_site(settings={"HEARTBEAT_SECONDS": 2, "GUESTS": True})
    errors: list[str] = []
    page = await _enter(browser, f"{site.servers[0].url}/", "Ann", errors)
    await eventually(lambda: site.database.count("connection") == 1)
    [first] = site.database.rows("SELECT id FROM realtime_connection")
    await page.evaluate("() => { window.setTimeout = window.setInterval = () => 0 }")
    await page.wait_for_timeout(7_000)
    assert site.database.rows("SELECT id FROM realtime_connection") == [first]
    assert errors == []


async def test_a_page_finds_out_that_its_line_is_dead(make_site: Factory, browser: Browser) -> None:
    """Nothing comes any more, and nothing says so: it asks once, and then tries anew."""
    site = make_site(settings={"HEARTBEAT_SECONDS": 1, "GUESTS": True})
    [server] = site.servers
    page = await _enter(browser, f"{server.url}/", "Ann", [])
    banner = page.get_by_test_id("banner")
    server.pause()
    try:
        await expect(banner).to_be_visible(timeout=15_000)
    finally:
        server.resume()
    await expect(banner).to_be_hidden(timeout=40_000)


async def test_a_moderator_keeps_order_from_the_page(demo: Demo, browser: Browser) -> None:
    """What is deleted, muted and banned in one browser is so in the other at once."""
    errors: list[str] = []
    spammer = await _enter(browser, demo.url, "Spammer", errors)
    admin = await _log_in(browser, demo, errors)
    await say(spammer, "buy my pills")
    row = admin.locator("[data-message-id]").filter(has_text="buy my pills")
    await row.hover()
    await row.get_by_role("button").click()
    await admin.get_by_role("button", name="Delete message").click()
    await admin.get_by_role("dialog").get_by_role("button", name="Delete").click()
    for page in (spammer, admin):
        await expect(page.get_by_text("This message was deleted.")).to_be_visible()
        await expect(page.get_by_text("buy my pills")).to_have_count(0)
    person = admin.get_by_test_id("members").locator("li").filter(has_text="Spammer")
    await person.get_by_role("button").click()
    await admin.get_by_role("button", name="Mute").click()
    await expect(spammer.get_by_placeholder("You are muted until")).to_be_disabled()
    await person.get_by_role("button").click()
    await admin.get_by_role("button", name="Ban").click()
    await admin.get_by_role("dialog").get_by_role("button", name="Ban").click()
    await expect(spammer.get_by_text("You are banned until")).to_be_visible()
    await expect(person).to_have_count(0)
    assert errors == []


async def _log_in(browser: Browser, demo: Demo, errors: list[str]) -> Page:
    """Open the chat as the demo's admin, whose password it has printed."""
    page = await (await browser.new_context()).new_page()
    page.on("pageerror", lambda error: errors.append(f"admin: {error}"))
    [password] = re.findall(r"password (\S+)", demo.log())
    await page.goto(f"{demo.url}login/")
    await page.fill("[name=username]", "admin")
    await page.fill("[name=password]", password)
    await page.keyboard.press("Enter")
    await ready(page)
    return page


async def _enter(browser: Browser, url: str, name: str, errors: list[str]) -> Page:
    """Open the chat as a guest of this name, noting what its scripts raise."""
    page = await (await browser.new_context()).new_page()
    page.on("pageerror", lambda error: errors.append(f"{name}: {error}"))
    await page.goto(url)
    await page.get_by_test_id("name").fill(name)
    await page.get_by_test_id("join").click()
    await ready(page)
    return page


async def _shown(page: Page, number: int) -> list[str]:
    """The last texts on the page, in the order a reader sees them."""
    return (await page.locator("[data-message-id] .text").all_inner_texts())[-number:]
