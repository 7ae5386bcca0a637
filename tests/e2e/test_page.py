"""The demo's chat page in a browser, used by people."""

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.chat import open_chat, say, sign_in
from tests.site import UNLIMITED, Factory, Site


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    return make_shared_site(settings={**UNLIMITED, "GUESTS": True})


async def test_a_log_out_in_another_tab_ends_this_one(site: Site, browser: Browser) -> None:
    """It shows nothing more of the user, cannot write, and says why until it is reloaded."""
    key = sign_in(site, "ada")["ada"]
    page = await open_chat(browser, site, key)
    await say(page, "for members only")
    await page.get_by_test_id("composer").fill("not sent yet")
    other = await page.context.new_page()
    await other.goto("/rooms/room-1/")
    await other.get_by_role("button", name="Log out").click()
    banner = page.get_by_test_id("banner")
    await expect(banner).to_contain_text("not signed in as ada any more", timeout=20_000)
    await expect(page.get_by_test_id("composer")).to_be_disabled()
    await expect(page.get_by_test_id("composer")).to_have_value("")
    await expect(page.get_by_text("for members only")).to_have_count(0)
    await page.wait_for_timeout(4_000)  # longer than the strip of good news stays
    await expect(banner).to_contain_text("not signed in as ada any more")
    await expect(page.get_by_text("Guest")).to_have_count(0)
    await banner.get_by_role("button", name="Reload").click()
    await expect(page.get_by_test_id("name")).to_be_visible()
