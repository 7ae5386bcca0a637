"""What axe finds on the demo's chat page: nothing, in any state that people meet."""

from importlib.resources import files
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, expect

from harness.site import UNLIMITED, Factory, Site
from tests.e2e.chat import open_chat, say, sign_in

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
FOUND = """async () => (await axe.run()).violations.map(
  ({ id, nodes }) => [id, ...nodes.map(({ html }) => html.slice(0, 200))])"""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDE: dict[str, Any] = {"viewport": {"width": 1200, "height": 760}}
NARROW = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    return make_shared_site(settings={**UNLIMITED, "GUESTS": True, "PRESENCE_EVENTS_UP_TO": 1})


async def found(page: Page) -> list[Any]:
    """Return what axe complains of now, in light and in dark."""
    await page.evaluate(f"{AXE};0")
    complaints = []
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        complaints += [(scheme, *one) for one in await page.evaluate(FOUND)]
    return complaints


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_axe_finds_nothing(site: Site, browser: Browser, size: dict[str, Any]) -> None:
    """With messages, with unread ones elsewhere, with a text that is too long, with a question."""
    keys = sign_in(site, "ada", "bob")
    page = await open_chat(browser, site, keys["ada"], **size, bypass_csp=True)
    await say(page, f"hello {len(size)}")
    await page.get_by_test_id("composer").fill("x" * 4100)
    assert await found(page) == []
    await page.get_by_test_id("composer").fill("")
    if size is NARROW:
        await page.get_by_role("button", name="Rooms").click()
    await page.locator("[data-room=room-1]").click()
    await expect(page.get_by_role("heading", name="room-1")).to_be_visible()
    other = await open_chat(browser, site, keys["bob"])
    await say(other, f"unread {len(size)}")
    if size is NARROW:
        await page.get_by_role("button", name="Rooms").click()
    await expect(page.locator("[data-room=general] .badge")).to_be_visible()
    assert await found(page) == []


async def test_a_room_of_many_says_that_its_people_are_not_listed(
    site: Site, browser: Browser
) -> None:
    """An empty list below a number looks broken."""
    keys = sign_in(site, "ada", "bob", "eve")
    pages = [await open_chat(browser, site, key, "/rooms/room-9/") for key in keys.values()]
    await pages[-1].reload()
    await expect(pages[-1].get_by_test_id("members")).to_contain_text("Only their number is shown")
    await expect(pages[-1].locator("#here")).to_have_text("Here now · 3", timeout=10_000)
