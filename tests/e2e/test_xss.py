"""Nothing that people write runs in anybody's browser: not in the chat, not in the admin."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from urllib.parse import quote

from playwright.async_api import Browser, BrowserContext, Dialog, Page, expect

from harness.client.websocket import Client
from harness.site import UNLIMITED, Factory, Site
from realtime.auth.guests import clean_name
from tests.e2e.payloads import PAYLOADS, packed

SETTINGS = {**UNLIMITED, "ROOMS_PER_CONNECTION": 1000, "ROOMS_PER_USER": 1000}
TABS = 3
TEXTS = "(elements) => elements.map((one) => one.textContent)"
DISCONNECT = """
import sys, django
django.setup()
from realtime import push
push.everyone().disconnect(sys.argv[1])
"""
LISTEN = """
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sample }) =>
  __told(`${location} broke ${violatedDirective}: ${blockedURI} ${sample}`));
"""
STRANGE = r"""
() => {
  const odd = (value) => /^[\s\0-\x1f]*(javascript|data|vbscript):/i.test(value);
  const foreign = "iframe,object,embed,base,math,marquee,plaintext,xmp,video,audio,xss";
  const scripts = [...document.scripts].filter(({ src, type }) => !src && !type.endsWith("/json"));
  const attributes = [...document.querySelectorAll("*")]
    .flatMap((one) => [...one.attributes])
    .filter(({ name, value }) => name.startsWith("on") || name === "srcdoc" || odd(value));
  const shown = attributes.filter(({ name }) => !["value", "content"].includes(name));
  return [...scripts, ...document.querySelectorAll(foreign)]
    .map((one) => one.outerHTML.slice(0, 80))
    .concat(shown.map(({ name, value }) => `${name}=${value}`.slice(0, 80)));
}
"""
"""What no page of ours has: scripts of its own, and whatever can run one."""


class Watch:
    """All that a browser does or complains of and should not."""

    def __init__(self, site: Site) -> None:
        self.found: list[str] = []
        self._own = site.servers[0].url
        self._tasks: set[asyncio.Task[None]] = set()

    async def follow(self, context: BrowserContext) -> None:
        """Note whatever happens on any page of the context."""
        await context.expose_binding("__xss", lambda source: self._note("ran", source["page"].url))
        await context.expose_binding("__told", lambda _, what: self._note("policy", what))
        await context.add_init_script(LISTEN)
        context.on("dialog", self._dismiss)
        context.on("weberror", lambda error: self._note("raised", error.error))
        context.on("request", lambda request: self._requested(request.url))
        context.on("console", lambda line: line.type == "error" and self._complained(line.text))

    async def look(self, page: Page) -> None:
        """Fail if anything has happened, or if the page holds what none of ours does."""
        for one in await page.evaluate(STRANGE):
            self._note("strange", f"{one} on {page.url}")
        assert self.found == []

    def _note(self, kind: str, what: object) -> None:
        self.found.append(f"{kind}: {what}"[:300])

    def _dismiss(self, dialog: Dialog) -> None:
        self._note("dialog", dialog.message)
        task = asyncio.create_task(dialog.dismiss())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _requested(self, url: str) -> None:
        if not url.startswith((self._own, self._own.replace("http", "ws"))):
            self._note("requested", url)

    def _complained(self, text: str) -> None:
        if "404 (Not Found)" not in text:
            self._note("console", text)


async def test_what_people_write_is_text(make_site: Factory, browser: Browser) -> None:
    """A hundred payloads as every name, title, text and reason; shown as they were written."""
    assert len(PAYLOADS) >= 100
    site = make_site(settings=SETTINGS)
    seeded = json.loads(site.run("-m", "tests.e2e._seed"))
    watch = Watch(site)
    context = await browser.new_context(base_url=site.servers[0].url)
    await watch.follow(context)
    url, session = site.servers[0].url, seeded["session"]
    await context.add_cookies([{"name": "sessionid", "value": session, "url": url}])
    async with AsyncExitStack() as stack:
        chat = await _enter(context, "/rooms/general/")
        said, names = await _talk(stack, site.urls[0])
        await _shows(chat, watch, [*seeded["contents"], *said], names)
        await _visits_rooms(chat, seeded["titles"])
        await watch.look(chat)
        await _strangers(browser, site, watch)

        await _admin(context, seeded["pages"], watch)
        await _announced(context, chat, site)
        await watch.look(chat)
    assert watch.found == []


# The chat.


async def _enter(context: BrowserContext, address: str) -> Page:
    page = await context.new_page()
    await page.goto(address)
    await expect(page.get_by_test_id("composer")).to_be_enabled(timeout=20_000)
    return page


async def _talk(stack: AsyncExitStack, url: str) -> tuple[list[str], set[str]]:
    """Guests with names of their own taste come, say what they are called, and stay.

    Returns the texts and the names. Of payloads that look alike only one guest gets the name.
    """
    names = set()

    async def talk(payload: str) -> str | None:
        guest = await stack.enter_async_context(await Client.connect(url))
        named = await guest.ask("auth", name=payload)
        if named["type"] != "error":
            names.add(named["username"])
        await guest.join("general")
        await guest.send("typing", room="general")
        data = {"text": payload}
        reply = await guest.ask("message", room="general", content=payload, data=data)
        assert (reply["type"] == "ack") is ("\0" not in payload), reply
        return payload if reply["type"] == "ack" else None

    said = await asyncio.gather(*map(talk, PAYLOADS))
    assert len(names) >= 60
    assert names <= set(map(clean_name, PAYLOADS))
    return [text for text in said if text is not None], names


async def _shows(page: Page, watch: Watch, texts: list[str], names: set[str]) -> None:
    """Scroll back to the beginning; every text and every name is there as it was written."""
    shown: list[str] = []
    async with asyncio.timeout(20):
        while len(shown) < len(texts):
            await page.get_by_role("log").evaluate("(log) => { log.scrollTop = 0 }")
            await page.wait_for_timeout(50)
            shown = await page.locator("[data-message-id] .text").evaluate_all(TEXTS)
    await watch.look(page)
    assert sorted(shown) == sorted(texts)
    for place in ("[data-message-id] .author", "#members .name"):
        async with asyncio.timeout(20):  # a storm of guests is told once a second
            while left := names - set(await page.locator(place).evaluate_all(TEXTS)):
                await page.wait_for_timeout(100)
        assert left == set()


async def _visits_rooms(page: Page, titles: list[str]) -> None:
    """Each is in the list, and in the heading once one is there."""
    links, more = page.locator("#room-list a .name"), page.get_by_test_id("more-rooms")
    while await more.is_visible():
        number = await links.count()
        await more.click()
        await expect(links.nth(number)).to_be_attached(timeout=20_000)
    assert await links.evaluate_all(TEXTS) == titles
    visited = await page.evaluate(
        """() => [...document.querySelectorAll("#room-list a")].map((link) => {
          link.click();
          return [document.title, document.getElementById("title").textContent];
        })"""
    )
    assert [heading for _, heading in visited] == titles
    await page.locator("#room-list a").first.click()


async def _strangers(browser: Browser, site: Site, watch: Watch) -> None:
    """What an address, a form or the composer is given, by somebody without an account."""
    context = await browser.new_context(base_url=site.servers[0].url)
    await watch.follow(context)
    page = await context.new_page()
    for text in packed(4000):
        await page.goto(f"/rooms/{quote(text, safe='')}/")
        await watch.look(page)
        await page.goto(f"/login/?next={quote(text, safe='')}")
        await page.get_by_label("Username").fill(text)
        await page.get_by_label("Password").fill(text)
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await watch.look(page)
    await page.goto("/rooms/general/")
    await page.get_by_test_id("name").fill(f"A{PAYLOADS[0]}")  # the name itself is taken
    await page.get_by_test_id("join").click()
    await expect(page.get_by_test_id("composer")).to_be_enabled(timeout=20_000)
    for text in packed(4000):
        await page.get_by_test_id("composer").fill(text)
        await page.get_by_test_id("send").click()
    await expect(page.locator(".pending")).to_have_count(0)
    await watch.look(page)
    await context.close()


# The admin.


async def _admin(context: BrowserContext, pages: dict[str, list[int]], watch: Watch) -> None:
    """Every list that there is, with all rows; rows of each kind; what was done to them."""
    index = await context.new_page()
    await index.goto("/admin/")
    await watch.look(index)
    links = index.locator("#content-main th a")
    lists = await links.evaluate_all("(links) => links.map((one) => one.getAttribute('href'))")
    kinds = {one.removeprefix("/admin/").strip("/") for one in lists}
    assert {"realtime/room", "realtime/message", "realtime/connection"} <= kinds
    addresses = [f"/admin/{kind}/?all=1" for kind in kinds]
    for kind in ("realtime/message", "realtime/membership"):
        addresses += [f"/admin/{kind}/?p={number}" for number in range(2, 5)]
    addresses.append(f"/admin/realtime/membership/{pages['realtime/membership'][0]}/delete/")
    addresses.append(f"/admin/realtime/message/?q={quote(packed(3000)[0])}")
    for kind, pks in pages.items():
        if kind in kinds:
            addresses += [f"/admin/{kind}/{pk}/change/" for pk in pks]
            addresses.append(f"/admin/{kind}/{pks[-1]}/history/")
    await index.close()
    queue = iter(addresses)
    rows = Counter[str]()
    await asyncio.gather(*(_open(context, queue, rows, watch) for _ in range(TABS)))
    assert [kind for kind in kinds & {*pages, "realtime/connection"} if rows[kind] < 100] == []


async def _open(
    context: BrowserContext, addresses: Iterator[str], rows: Counter[str], watch: Watch
) -> None:
    page = await context.new_page()
    for address in addresses:
        answer = await page.goto(address)
        assert answer is not None
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        await watch.look(page)
        kind = "/".join(address.split("/")[2:4])
        rows[kind] += await page.locator("#result_list tbody tr").count()
    await page.close()


async def _announced(context: BrowserContext, chat: Page, site: Site) -> None:
    """A notice by the admin's own form, and at last a reason to close."""
    page = await context.new_page()
    await page.goto("/admin/realtime/connection/?all=1")
    await page.locator("#action-toggle").check()
    await page.locator("select[name=action]").select_option("send_notice")
    await page.locator(".actions button[name=index]").click()
    [text, *_] = packed(900)
    await page.get_by_label("Text").fill(text)
    await page.get_by_role("button", name="Send").click()
    await _says(chat, text)
    await asyncio.to_thread(site.run, "-c", DISCONNECT, text[-120:])
    await _says(chat, text[-120:])


async def _says(page: Page, text: str) -> None:
    await page.wait_for_function(
        "(text) => document.querySelector('#banner .strip')?.firstChild.data === text", arg=text
    )
