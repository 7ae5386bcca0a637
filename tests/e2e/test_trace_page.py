"""A trace in a browser: started on one process, of a guest on others."""

import time
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from harness.client.websocket import Client
from harness.site import UNLIMITED, Factory, Site
from tests.e2e.chat import sign_in
from tests.e2e.errors import without_errors

ADD = "/admin/realtime/trace/add/"
LINES = ".realtime-trace-lines tbody tr"
SECRET = "only for your eyes"


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    settings = {**UNLIMITED, "GUESTS": True}
    return make_shared_site(servers=("daphne", "daphne"), settings=settings)


async def test_a_guest_is_traced_in_all_processes(
    site: Site, browser: Browser, tmp_path: Path
) -> None:
    """At once in one that runs, and from the start in one that starts later."""
    key, url = sign_in(site, "admin")["admin"], site.servers[0].url
    size = {"width": 1280, "height": 900}
    context = await browser.new_context(base_url=url, viewport=size)
    await context.add_cookies([{"name": "sessionid", "value": key, "url": url}])
    page = await context.new_page()

    async def sees(text: str) -> None:
        await expect(page.locator(LINES).filter(has_text=text).first).to_be_visible()

    with without_errors(browser):
        async with await Client.connect(site.urls[1]) as guest:
            welcome = await guest.expect("welcome")
            await page.goto(f"{ADD}?subject={welcome['user_id']}")
            await page.locator("[name=_save]").click()
            await sees("is open for")
            began = time.monotonic()
            await guest.join("general")
            await sees("right in general: join, post, signal")
            assert time.monotonic() - began < 2
            await guest.say("general", SECRET)
            await sees("received message")
        await sees("ends: left")
        site.start("daphne")
        async with await Client.connect(f"{site.urls[2]}?token={welcome['guest_token']}") as guest:
            await guest.expect("welcome")
            await sees("begins at /ws")
            await sees(f"is of the user {welcome['user_id']}")
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                await page.screenshot(path=tmp_path / f"trace-{scheme}.png")
        assert SECRET not in await page.content()
        await page.get_by_role("button", name="Stop").click()
        await expect(page.get_by_text("The trace is over.")).to_be_visible()
