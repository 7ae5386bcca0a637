"""The demo's chat in a browser: a site with users who are signed in, and what a page shows."""

import json
from typing import Any

from playwright.async_api import Browser, Page, expect

from harness.site import Site

SIGN_IN = """
import json, sys, django
django.setup()
from django.contrib.auth import get_user_model
from django.test import Client
keys = {}
for name in sys.argv[1:]:
    user, is_new = get_user_model().objects.get_or_create(
        username=name, defaults={"is_superuser": name == "admin", "is_staff": name == "admin"}
    )
    client = Client()
    client.force_login(user)
    keys[name] = client.cookies["sessionid"].value
print(json.dumps(keys))
"""


def sign_in(site: Site, *names: str) -> dict[str, str]:
    """Make users of these names, and return a session key of each."""
    keys: dict[str, str] = json.loads(site.run("-c", SIGN_IN, *names))
    return keys


async def open_chat(
    browser: Browser, site: Site, key: str = "", path: str = "/rooms/general/", **options: Any
) -> Page:
    """Open the chat in a new context: as the user of this session, else as a guest Ann."""
    url = site.servers[0].url
    context = await browser.new_context(base_url=url, **options)
    if key:
        await context.add_cookies([{"name": "sessionid", "value": key, "url": url}])
    page = await context.new_page()
    await page.goto(path)
    if not key:
        await page.get_by_test_id("name").fill("Ann")
        await page.get_by_test_id("join").click()
    await ready(page)
    return page


async def ready(page: Page) -> None:
    """Wait until the room is there and may be written to."""
    await expect(page.get_by_test_id("composer")).to_be_enabled(timeout=20_000)


async def say(page: Page, text: str) -> None:
    """Write a message and wait until it is stored."""
    await page.get_by_test_id("composer").fill(text)
    await page.get_by_test_id("send").click()
    await sees(page, text)


async def sees(page: Page, text: str) -> None:
    row = page.locator("[data-message-id]").filter(has_text=text)
    await expect(row).to_have_count(1, timeout=30_000)
