"""The demo's chat page in a browser, used by people."""

import re

import pytest
from playwright.async_api import Browser, Dialog, expect

from harness.site import UNLIMITED, Factory, Site
from tests.e2e.chat import open_chat, ready, say, sees, sign_in
from tests.proxy import Proxy


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    return make_shared_site(settings={**UNLIMITED, "GUESTS": True, "KICK_SECONDS": 8})


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


async def test_drafts_outlive_the_tab_and_a_log_out_takes_them(
    site: Site, browser: Browser
) -> None:
    """A room each; another user of the same browser sees none."""
    keys = sign_in(site, "ada", "bob")
    page = await open_chat(browser, site, keys["ada"])
    composer = page.get_by_test_id("composer")
    await composer.fill("for general")
    await page.locator("[data-room=room-1]").click()
    await expect(composer).to_have_value("")
    await composer.fill("for one")
    context = page.context
    await page.close()
    page = await context.new_page()
    await page.goto("/rooms/general/")
    await expect(page.get_by_test_id("composer")).to_have_value("for general")
    await page.locator("[data-room=room-1]").click()
    await expect(page.get_by_test_id("composer")).to_have_value("for one")
    url = site.servers[0].url
    await context.add_cookies([{"name": "sessionid", "value": keys["bob"], "url": url}])
    await page.reload()
    await ready(page)
    await expect(page.get_by_test_id("composer")).to_have_value("")
    await context.add_cookies([{"name": "sessionid", "value": keys["ada"], "url": url}])
    await page.reload()
    await expect(page.get_by_test_id("composer")).to_have_value("for one")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_test_id("name")).to_be_visible()
    kept = await page.evaluate("Object.keys(localStorage)")
    assert [name for name in kept if "drafts" in name] == []


async def test_a_tab_with_unsent_messages_asks_before_it_closes(
    site: Site, browser: Browser
) -> None:
    """And one without does not."""
    async with Proxy(site.servers[0].port) as line:
        page = await (await browser.new_context()).new_page()
        await page.goto(f"http://127.0.0.1:{line.port}/rooms/general/")
        await page.get_by_test_id("name").fill("Ben")
        await page.get_by_test_id("join").click()
        await ready(page)
        asked: list[str] = []

        async def note(dialog: Dialog) -> None:
            asked.append(dialog.type)
            await dialog.dismiss()

        page.on("dialog", note)
        line.cut()
        await page.get_by_test_id("composer").fill("still here")
        await page.get_by_test_id("send").click()
        await page.close(run_before_unload=True)
        await expect(page.get_by_text("still here")).to_be_visible()
        assert asked == ["beforeunload"]
        line.restore()
        await sees(page, "still here")
        await page.close(run_before_unload=True)
        assert asked == ["beforeunload"]


async def test_a_text_that_is_too_long_is_counted_and_not_cut(site: Site, browser: Browser) -> None:
    """An emoji counts as one character, as it does on the server."""
    page = await open_chat(browser, site, sign_in(site, "ada")["ada"])
    composer, send = page.get_by_test_id("composer"), page.get_by_test_id("send")
    await composer.fill("x" * 5000)
    assert len(await composer.input_value()) == 5000
    await expect(page.get_by_test_id("length")).to_contain_text("1000 characters too many")
    await expect(send).to_be_disabled()
    await composer.press("Enter")
    assert len(await composer.input_value()) == 5000
    await composer.fill("😀" * 4000)
    await expect(page.get_by_test_id("length")).to_have_text("4000 of 4000")
    await send.click()
    await sees(page, "😀" * 4000)
    await composer.fill("short")
    await expect(page.get_by_test_id("length")).to_have_text("")


async def test_a_name_that_is_too_long_is_told_and_not_cut(site: Site, browser: Browser) -> None:
    page = await (await browser.new_context(base_url=site.servers[0].url)).new_page()
    await page.goto("/")
    await page.get_by_test_id("name").fill("n" * 50)
    await page.get_by_test_id("join").click()
    await expect(page.get_by_role("alert")).to_contain_text("at most 40 characters")
    await expect(page.get_by_test_id("name")).to_have_value("n" * 50)


RULES = """
import sys, django
django.setup()
from django.contrib.auth import get_user_model
from realtime import moderation
from realtime.store.rooms import management
from realtime.models import Room
user = get_user_model().objects.get(username=sys.argv[2])
room = Room.objects.get(slug=sys.argv[3])
if sys.argv[1] == "slow":
    management.configure(room, slow_seconds=int(sys.argv[4]))
elif sys.argv[1] == "rename":
    management.configure(room, title=sys.argv[4])
elif sys.argv[1] == "kick":
    moderation.kick(room, user)
else:
    getattr(moderation, sys.argv[1])(room, user, seconds=int(sys.argv[4]))
"""


def do(site: Site, *what: str) -> None:
    site.run("-c", RULES, *what)


@pytest.mark.parametrize("act", ["kick", "ban"])
async def test_the_page_comes_back_when_it_may(site: Site, browser: Browser, act: str) -> None:
    """A kick is not called a ban, and an ended ban does not stay on the screen."""
    page = await open_chat(browser, site, sign_in(site, "eve")["eve"], "/rooms/room-2/")
    do(site, act, "eve", "room-2", *(["8"] if act == "ban" else []))
    await expect(page.get_by_role("button", name="Try again")).to_be_visible(timeout=10_000)
    await expect(page.get_by_text("You have been removed for a moment")).to_be_visible()
    await expect(page.get_by_text("banned")).to_have_count(0)
    await expect(page.get_by_test_id("composer")).to_be_enabled(timeout=30_000)
    await expect(page.get_by_text("You have been removed")).to_have_count(0)


async def test_a_mute_that_has_ended_lets_write_again(site: Site, browser: Browser) -> None:
    page = await open_chat(browser, site, sign_in(site, "mia")["mia"], "/rooms/room-3/")
    do(site, "mute", "mia", "room-3", "6")
    await expect(page.get_by_test_id("composer")).to_be_disabled(timeout=10_000)
    await expect(page.get_by_test_id("composer")).to_be_enabled(timeout=30_000)


async def test_slow_mode_says_why_a_message_waits_and_how_long(
    site: Site, browser: Browser
) -> None:
    page = await open_chat(browser, site, sign_in(site, "sue")["sue"], "/rooms/room-4/")
    do(site, "slow", "sue", "room-4", "8")
    await expect(page.get_by_placeholder("one every 8 seconds")).to_be_visible(timeout=10_000)
    await say(page, "first")
    await page.get_by_test_id("composer").fill("second")
    await page.get_by_test_id("send").click()
    await page.get_by_test_id("composer").fill("third")
    await page.get_by_test_id("send").click()
    fates = page.locator(".pending .fate")
    await expect(fates.first).to_have_text(re.compile(r"Slow mode: .*sent in \d s"))
    await expect(fates.last).to_have_text("Waits for the message above.")
    await sees(page, "second")
    await expect(fates.first).to_have_text(re.compile(r"Slow mode: .*sent in \d s"))


async def test_deleting_asks(site: Site, browser: Browser) -> None:
    """No is the answer that is near."""
    page = await open_chat(browser, site, sign_in(site, "ada")["ada"], "/rooms/room-5/")
    await say(page, "oops")
    row = page.locator("[data-message-id]").filter(has_text="oops")
    for answer, count in (("Cancel", 0), ("Delete", 1)):
        await row.hover()
        await row.get_by_role("button").click()
        await page.get_by_role("button", name="Delete message").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("for everybody")
        await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
        await dialog.get_by_role("button", name=answer).click()
        await expect(dialog).to_be_hidden()
        await expect(page.get_by_text("This message was deleted.")).to_have_count(count)


OVERLAP = """() => [...document.querySelectorAll(".message")].filter((row) => {
  const range = document.createRange();
  range.selectNodeContents(row.querySelector(".text"));
  const button = row.querySelector(".more").getBoundingClientRect();
  return [...range.getClientRects()].some((line) => line.right > button.left + 0.5
    && line.left < button.right - 0.5 && line.bottom > button.top && line.top < button.bottom);
}).length"""


async def test_no_text_lies_below_the_button_of_its_message(site: Site, browser: Browser) -> None:
    """Right to left or not, on a touch screen."""
    options = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}
    key = sign_in(site, "ada")["ada"]
    page = await open_chat(browser, site, key, "/rooms/room-6/", **options)
    for text in ("שלום עולם", "مرحبا " * 30, "left to right " * 20, "w" * 300):
        await say(page, text.strip())
    assert await page.evaluate(OVERLAP) == 0
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


STOPS = """() => [...document.querySelectorAll("#log, #log *")]
  .filter((one) => one.tabIndex >= 0 && one.checkVisibility()).length"""


async def test_the_log_is_one_stop_on_the_way_to_the_composer(site: Site, browser: Browser) -> None:
    """Arrow keys move in it, Enter opens the menu, Esc leads back, Ctrl+K finds a room."""
    page = await open_chat(browser, site, sign_in(site, "ada")["ada"], "/rooms/room-7/")
    for number in range(12):
        await say(page, f"message-{number:02}")
    composer = page.get_by_test_id("composer")
    assert await page.evaluate(STOPS) == 1
    focused = page.locator(".message:focus")
    await composer.press("ArrowUp")
    await expect(focused).to_contain_text("message-11")
    await page.keyboard.press("ArrowUp")
    await expect(focused).to_contain_text("message-10")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Delete message")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Delete message")).to_be_hidden()
    await page.locator(".message").last.focus()
    await page.keyboard.press("Escape")
    await expect(composer).to_be_focused()
    await composer.fill("text")
    await composer.press("ArrowUp")
    await expect(composer).to_be_focused()
    await page.keyboard.press("Control+k")
    await expect(page.get_by_test_id("find")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(composer).to_be_focused()


async def test_the_list_of_rooms_follows_what_happens(site: Site, browser: Browser) -> None:
    """A new title, a room that somebody else made, and a search on the server."""
    page = await open_chat(browser, site, sign_in(site, "ada")["ada"], "/rooms/room-8/")
    do(site, "rename", "ada", "room-8", "A new name")
    await expect(page.locator("#room-list [data-room=room-8]")).to_contain_text("A new name")
    await expect(page.get_by_role("heading", name="A new name")).to_be_visible()
    site.run("-c", MAKE_ROOMS)
    find = page.get_by_test_id("find")
    await find.fill("Needle")
    await expect(page.locator("#room-list a")).to_have_text(["Needle"])
    await find.fill("nothing like it")
    await expect(page.get_by_text("No room is called that.")).to_be_visible()
    await find.fill("")
    await expect(page.locator("#room-list a")).to_have_count(50)
    await page.get_by_test_id("more-rooms").click()
    await expect(page.locator("#room-list [data-room=needle]")).to_be_visible()


MAKE_ROOMS = """
import django
django.setup()
from realtime.models import Room
for number in range(60):
    Room.objects.create(slug=f"more-{number}", title=f"More {number}")
Room.objects.create(slug="needle", title="Needle")
"""
