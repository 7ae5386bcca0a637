"""The pages of the examples with topics, in two browsers each."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from harness.site import ROOT, Factory, Site
from tests.e2e.errors import without_errors
from tests.e2e.test_accessibility import NARROW, WIDE, found


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    return make_shared_site(servers=("daphne", "uvicorn"), settings={"GUESTS": True})


@pytest_asyncio.fixture(loop_scope="session")
async def browser(browser: Browser) -> AsyncIterator[Browser]:
    """One in which no page may have an error."""
    with without_errors(browser):
        yield browser


async def connected(
    browser: Browser, site: Site, name: str, server: int = 0, **options: Any
) -> Page:
    page = await (await browser.new_context(**options)).new_page()
    await page.goto(f"{site.servers[server].url}/examples/{name}/")
    await expect(page.get_by_test_id("state")).to_have_text("Connected")
    return page


async def pair(browser: Browser, site: Site, name: str) -> tuple[Page, Page]:
    """Return the pages of two guests, at two servers."""
    return await connected(browser, site, name), await connected(browser, site, name, server=1)


async def test_two_players_play_a_game(site: Site, browser: Browser) -> None:
    """A bad move is refused; a player who reloads the page keeps the seat."""
    ada, bob = await pair(browser, site, "game")
    for page in (ada, bob):
        await page.get_by_test_id("join").click()
        await expect(page.get_by_test_id("leave")).to_be_visible()
    await expect(ada.get_by_test_id("told")).to_have_text("It is your turn.")
    await bob.locator("#board button").nth(0).click()
    await expect(bob.get_by_test_id("problem")).to_have_text("It is the turn of the other player.")
    for page, cell in ((ada, 4), (bob, 0), (ada, 2), (bob, 3)):
        await page.locator("#board button").nth(cell).click()
        await expect(page.locator("#board button").nth(cell)).not_to_have_text("")
        other = bob if page is ada else ada
        await expect(other.get_by_test_id("told")).to_have_text("It is your turn.")
    await ada.reload()
    await expect(ada.get_by_test_id("told")).to_have_text("It is your turn.")
    await ada.locator("#board button").nth(6).click()
    await expect(ada.get_by_test_id("told")).to_have_text("You have won!")
    await expect(bob.get_by_test_id("told")).to_have_text("✕ has won.")
    moves = bob.get_by_test_id("log").locator("li").filter(has_text="to cell")
    await expect(moves).to_have_count(5)
    await bob.get_by_test_id("leave").click()
    await expect(ada.get_by_test_id("told")).to_have_text("Waiting for another player…")


async def test_notes_stay_and_cursors_go(site: Site, browser: Browser) -> None:
    ada, bob = await pair(browser, site, "board")
    await ada.get_by_test_id("text").fill("Buy milk")
    await ada.get_by_test_id("put").click()
    note = bob.get_by_test_id("note").filter(has_text="Buy milk")
    await expect(note).to_be_visible()
    before = await note.evaluate("(note) => parseFloat(note.style.left)")
    await note.focus()
    await bob.keyboard.press("ArrowRight")
    moved = "(before) => parseFloat(document.querySelector('.note').style.left) > before + 1"
    await ada.wait_for_function(moved, arg=before)
    wall = await ada.get_by_test_id("wall").bounding_box()
    assert wall is not None
    await ada.mouse.move(wall["x"] + 50, wall["y"] + 50, steps=3)
    await expect(bob.get_by_test_id("pointer")).to_be_visible()
    await expect(bob.get_by_test_id("pointer")).to_have_count(0, timeout=8000)
    await note.get_by_role("button").click()
    await expect(ada.get_by_test_id("note")).to_have_count(0)


async def test_the_dashboard_shows_what_a_command_publishes(site: Site, browser: Browser) -> None:
    """A page that comes later gets the same values at once."""
    first = await connected(browser, site, "dashboard")
    await expect(first.get_by_test_id("empty")).to_be_visible()
    options = ["--machines", "3", "--seconds", "2", "--rate", "3000"]
    command = [sys.executable, "manage.py", "publish_dashboard", *options]
    publishing = subprocess.Popen(
        command, cwd=ROOT, env=site.env, stdout=subprocess.PIPE, text=True
    )
    told, _ = publishing.communicate(timeout=60)
    assert "values measured" in told
    later = await connected(browser, site, "dashboard")
    for page in (first, later):
        cells = page.locator("tbody td").filter(has_text=re.compile(r"\d"))
        await expect(cells).to_have_count(15)
    values = "[...document.querySelectorAll('tbody td')].map((cell) => cell.textContent).join()"
    shown = await later.evaluate(values)
    await first.wait_for_function(f"(shown) => {values} === shown", arg=shown)


async def test_devices_report_and_all_pages_see_it(site: Site, browser: Browser) -> None:
    ada, bob = await pair(browser, site, "telemetry")
    await ada.get_by_test_id("add").click()
    device = bob.get_by_test_id("device").first
    await expect(device).to_contain_text(re.compile(r"\d\d+ values, \d+ in the last batch"))
    await expect(ada.get_by_test_id("running")).to_have_text("1")
    await expect(bob.get_by_test_id("running")).to_have_text("0")


async def test_an_order_that_fails_is_not_shown(site: Site, browser: Browser) -> None:
    ada, bob = await pair(browser, site, "orders")
    await ada.get_by_test_id("place").click()
    order = bob.get_by_test_id("order").first
    await expect(order).to_contain_text("placed")
    await order.get_by_test_id("fail").click()
    await expect(bob.get_by_test_id("problem")).to_contain_text("The payment failed")
    await order.get_by_test_id("advance").click()
    await expect(ada.get_by_test_id("order").first).to_contain_text("paid")
    await expect(ada.get_by_text("This was rolled back")).to_have_count(0)
    await order.get_by_test_id("advance").click()
    await expect(ada.get_by_test_id("order").first).to_contain_text("sent")
    await order.get_by_test_id("cancel").click()
    await expect(ada.get_by_test_id("order")).to_have_count(0)


async def test_a_page_resumes_what_it_has_missed(site: Site, browser: Browser) -> None:
    """The connection is lost, as by a tunnel; the client comes back by itself."""
    ada, bob = await pair(browser, site, "orders")
    await bob.context.set_offline(True)
    await expect(bob.get_by_test_id("state")).to_contain_text("Connection lost")
    await ada.get_by_test_id("place").click()
    await expect(ada.get_by_test_id("order")).to_have_count(1)
    await bob.context.set_offline(False)
    await expect(bob.get_by_test_id("order")).to_have_count(1)
    await ada.get_by_test_id("cancel").click()
    await expect(bob.get_by_test_id("order")).to_have_count(0)


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("name", ["game", "board", "dashboard", "telemetry", "orders"])
async def test_axe_finds_nothing_on_the_pages(
    site: Site, browser: Browser, name: str, size: dict[str, Any]
) -> None:
    page = await connected(browser, site, name, **size, bypass_csp=True)
    if name == "board":
        await page.get_by_test_id("text").fill(f"note {len(size)}")
        await page.get_by_test_id("put").click()
        await expect(page.get_by_test_id("note").first).to_be_visible()
    elif name == "orders":
        await page.get_by_test_id("place").click()
        await expect(page.get_by_test_id("order").first).to_be_visible()
    assert await found(page) == []
