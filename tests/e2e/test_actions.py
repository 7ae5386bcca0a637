"""Each action of the admin in a browser on one process, on a client of another one."""

import time
from asyncio import create_task
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from playwright.async_api import Browser, Page, Request, expect

from harness.client.websocket import Client
from harness.site import UNLIMITED, Factory, Site
from harness.waiting import eventually
from tests.e2e.chat import sign_in
from tests.e2e.errors import without_errors

SECONDS = 1
"""The longest time from the click of the administrator to the client of another process."""
LIVE, LIST = "/admin/realtime/live/", "/admin/realtime/connection/"
NODES = "/admin/realtime/node/"
IS_THERE = "SELECT 1 FROM realtime_presence WHERE connection_id = %s"
LOGGED = "SELECT change_message FROM django_admin_log"

Hears = Callable[[Client], Awaitable[Any]]


class Action(NamedTuple):
    """What an administrator fills in, what the client hears, and what the log says."""

    fields: dict[str, str]
    hears: Hears
    logged: str


ACTIONS = {
    "disconnect": Action({}, lambda guest: guest.expect("disconnect", code=4503), "Disconnected."),
    "send_notice": Action(
        {"text": "Back at five"}, lambda guest: guest.expect("notice"), "Back at five"
    ),
    "kick": Action(
        {"room": "general", "reason": "calm down"},
        lambda guest: guest.expect("removed", room="general"),
        "ban in",
    ),
    "ban": Action(
        {"reason": "spam"}, lambda guest: guest.expect("disconnect", code=4503), "whole site"
    ),
    "mute": Action(
        {"room": "general", "reason": "loud"},
        lambda guest: guest.expect("room", room="general"),
        "mute in",
    ),
    "move": Action(
        {"room": "general", "to": "room-1", "reason": "off topic"},
        lambda guest: guest.expect("joined", room="room-1"),
        "moved from",
    ),
    "revoke": Action({}, lambda guest: guest.expect("disconnect"), "Revoked."),
}


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    settings = {**UNLIMITED, "GUESTS": True}
    return make_shared_site(servers=("daphne", "daphne"), settings=settings)


@pytest.fixture(scope="module")
def rooms(site: Site) -> dict[str, str]:
    """The primary keys of the rooms, as an administrator types them."""
    return {slug: str(pk) for pk, slug in site.database.rows("SELECT id, slug FROM realtime_room")}


@pytest.fixture(scope="module")
def key(site: Site) -> str:
    """The session of an administrator."""
    return sign_in(site, "admin")["admin"]


async def open_page(browser: Browser, site: Site, key: str, path: str) -> Page:
    """Open a page of the administrator on the first process."""
    url = site.servers[0].url
    context = await browser.new_context(base_url=url, viewport={"width": 1280, "height": 1400})
    await context.add_cookies([{"name": "sessionid", "value": key, "url": url}])
    page = await context.new_page()
    await page.goto(path)
    return page


async def choose_live(page: Page, name: str, action: str) -> None:
    """Choose an action for a client of the live page."""
    await page.get_by_label("Filter clients").fill(name)
    box = page.locator(".realtime-rows[data-of=clients] .realtime-body input")
    await expect(box).to_have_count(1)
    await box.check()
    await page.get_by_label("Action", exact=True).select_option(action)
    await page.locator("form[data-of=clients] button").click()


async def choose_listed(page: Page, name: str, action: str) -> None:
    """Choose an action for a row of a list of the admin."""
    await page.locator(f"input[name=_selected_action][value='{name}']").check()
    await page.locator("select[name=action]").select_option(action)
    await page.locator("button[name=index]").click()


async def confirm(
    page: Page, fields: dict[str, str], hears: Awaitable[Any], button: str = "input[type=submit]"
) -> Any:
    """Fill in a form and send it; return what is heard, and check how long that took."""
    sent: list[float] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            sent.append(time.monotonic())

    for name, value in fields.items():
        await page.locator(f"[name={name}]").fill(value)

    async def timed() -> tuple[Any, float]:
        return await hears, time.monotonic()

    heard = create_task(timed())
    page.on("request", note)
    await page.locator(button).click()
    found, at = await heard
    page.remove_listener("request", note)
    assert at - sent[0] < SECONDS
    return found


@pytest.mark.parametrize("place", ["live", "list"])
@pytest.mark.parametrize("name", ACTIONS)
async def test_a_client_of_another_process_hears_within_a_second(
    site: Site, browser: Browser, rooms: dict[str, str], key: str, name: str, place: str
) -> None:
    """From the live page, and from the list; after a question, and with an entry in the log."""
    action = ACTIONS[name]
    before = len(site.database.rows(LOGGED))
    async with await Client.connect(site.urls[1]) as guest:
        connection = (await guest.expect("welcome"))["connection"]
        await guest.join("general")
        await eventually(lambda: site.database.rows(IS_THERE, connection))
        with without_errors(browser):
            page = await open_page(browser, site, key, LIVE if place == "live" else LIST)
            choose = choose_live if place == "live" else choose_listed
            await choose(page, connection, name)
            assert len(site.database.rows(LOGGED)) == before  # it only asks
            fields = {key: rooms.get(value, value) for key, value in action.fields.items()}
            told = await confirm(page, fields, action.hears(guest))
            assert name != "kick" or action.fields["reason"] in told["message"]
    logged = [text for (text,) in site.database.rows(LOGGED)]
    assert len([text for text in logged if action.logged in text]) >= 1
    assert len(logged) == before + 1


async def test_a_user_who_is_banned_by_a_new_sanction_is_closed_within_a_second(
    site: Site, browser: Browser, key: str
) -> None:
    async with await Client.connect(site.urls[1]) as guest:
        user = (await guest.expect("welcome"))["user_id"]
        page = await open_page(browser, site, key, "/admin/realtime/sanction/add/")
        await page.locator("[name=kind]").select_option("ban")
        fields = {"user_key": user, "reason": "spam"}
        assert await confirm(page, fields, guest.closed(), "[name=_save]") == 4503


async def test_a_text_that_is_deleted_is_gone_within_a_second(
    site: Site, browser: Browser, key: str
) -> None:
    """Its tombstone is told to all."""
    async with await Client.connect(site.urls[1]) as guest:
        await guest.join("room-1")
        ack = await guest.say("room-1", "secret", nonce="1")
        page = await open_page(browser, site, key, "/admin/realtime/message/")
        await choose_listed(page, str(ack["id"]), "delete_text")
        told = (await confirm(page, {}, guest.expect("changed")))["message"]
        assert (told["id"], told["deleted"], "content" in told) == (ack["id"], True, False)


@pytest.mark.parametrize("place", ["live", "list"])
async def test_a_process_is_drained_and_taken_back(
    site: Site, browser: Browser, key: str, place: str
) -> None:
    """Its clients move to the other process, and it refuses new ones until it serves again."""
    async with await Client.connect(site.urls[1]) as guest:
        node = (await guest.expect("welcome"))["connection"].partition(".")[0]
        with without_errors(browser):
            page = await open_page(browser, site, key, LIVE if place == "live" else NODES)
            await act_on_node(page, place, node, "Drain…", "drain")
            told = await confirm(page, {"seconds": "0"}, guest.expect("disconnect"))
            assert (told["code"], told["reconnect"]) == (4001, True)
            async with await Client.connect(site.urls[1]) as late:
                assert (await late.expect("disconnect"))["code"] == 4001
            async with await Client.connect(site.urls[0]) as moved:
                await moved.expect("welcome")
            await page.goto(LIVE)
            row = page.locator(".realtime-nodes tbody tr").filter(has_text=node)
            await expect(row).to_contain_text("draining")
            if place == "list":
                await page.goto(NODES)
            await act_on_node(page, place, node, "Serve again…", "serve")
            await confirm(page, {}, served(site.urls[1]))
            await page.goto(LIVE)
            await expect(row).to_contain_text("running")
    logged = [text for (text,) in site.database.rows(LOGGED)]
    assert {"drains over 0 s", "serves again"} <= set(logged)


async def act_on_node(page: Page, place: str, node: str, label: str, action: str) -> None:
    if place == "live":
        row = page.locator(".realtime-nodes tbody tr").filter(has_text=node)
        await row.get_by_role("button", name=label).click()
    else:
        await choose_listed(page, node, action)


async def served(url: str) -> None:
    """Connect again and again until a process takes the client."""
    while True:
        async with await Client.connect(url) as client:
            if (await client.receive())["type"] == "welcome":
                return
