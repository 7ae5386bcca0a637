"""HTML over the wire in Chromium: `live.js` and `htmx.js`, with a strict policy and hashed files.

The files are those of Django's own manifest storage, which rewrites no imports between modules.
"""

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from harness.site import Factory, Site
from tests.e2e.errors import without_errors
from tests.e2e.page_loads import KINDS, Loads, serve

LIVE = "() => window.realtime?.topic('pieces/mine').state === 'live'"
RELOADED = "() => performance.getEntriesByType('navigation')[0].type === 'reload'"
HELD = "() => realtime.topic('pieces/card').isHeld"


@pytest.fixture(scope="module")
def site(make_shared_site: Factory, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site whose static files were collected."""
    made = make_shared_site(servers=(), settings={"GUESTS": True})
    serve(made, tmp_path_factory.mktemp("pieces"))
    return made


@pytest_asyncio.fixture(loop_scope="session")
async def browser(browser: Browser) -> AsyncIterator[Browser]:
    """One in which no page may have an error, such as a violation of the policy."""
    with without_errors(browser):
        yield browser


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def act(site: Site, action: str, value: object = "-") -> str:
    """Have the site do something; return what it answers."""
    url = f"{site.servers[0].url}/act/{action}/{quote(str(value))}"

    def fetch() -> str:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return str(answer.read().decode())

    return await asyncio.to_thread(fetch)


async def opened(browser: Browser, site: Site, kind: str, query: str = "") -> Page:
    """A page whose topics are subscribed."""
    page = await (await browser.new_context()).new_page()
    await page.goto(f"{site.servers[0].url}/pieces/{kind}/{query}")
    await page.wait_for_function(LIVE)
    return page


async def test_a_list_grows_changes_and_shrinks(site: Site, browser: Browser, kind: str) -> None:
    """A new item is appended, one with a known id is replaced, and a deleted one is removed."""
    page = await opened(browser, site, kind)
    first = await act(site, "add", f"{kind} first")
    await act(site, "add", f"{kind} second")
    await expect(page.locator("#list li").nth(-2)).to_have_text(f"{kind} first")
    await act(site, "rename", f"{kind} <b>third")
    await expect(page.locator("#list li").last).to_have_text(f"{kind} <b>third")
    await act(site, "delete", first)
    await expect(page.locator(f"#item-{first}")).to_have_count(0)
    await expect(page.locator("#list li").last).to_have_text(f"{kind} <b>third")


async def test_nothing_is_missed_between_the_page_and_its_subscription(
    site: Site, browser: Browser, kind: str
) -> None:
    """An item is added after the page was rendered, and before its script has run."""
    page = await (await browser.new_context()).new_page()

    async def add_first(route: Route) -> None:
        await act(site, "add", f"{kind} between")
        await route.continue_()

    await page.route("**/realtime/client.*.js", add_first)
    await page.goto(f"{site.servers[0].url}/pieces/{kind}/")
    await expect(page.locator("#list li").last).to_have_text(f"{kind} between")


async def test_a_hundred_replacements_leave_one_subscription(
    site: Site, browser: Browser, kind: str
) -> None:
    """The element that replaces a live one is live, and nothing else is; removed, it is let go."""
    page = await opened(browser, site, kind)
    for number in range(100):
        await act(site, "card", f"{kind} {number}")
    await expect(page.locator("#card")).to_have_text(f"{kind} 99")
    assert await page.locator("#card").count() == 1
    assert await page.evaluate(HELD)
    await page.evaluate("() => document.getElementById('card').remove()")
    await page.wait_for_function(f"() => !({HELD})()")


async def test_a_refresh_fetches_what_each_user_sees(
    site: Site, browser: Browser, kind: str
) -> None:
    """And the element goes on from the moment of what was fetched."""
    page = await opened(browser, site, kind)
    before = await page.locator("#mine").get_attribute(
        "data-realtime" if kind == "live" else "hx-realtime"
    )
    for number in range(2):
        await act(site, "add", f"{kind} refreshed {number}")
        newest = await act(site, "count")
        await act(site, "refresh")
        await expect(page.locator("#mine")).to_have_text(newest)
    after = await page.locator("#mine").get_attribute(
        "data-realtime" if kind == "live" else "hx-realtime"
    )
    assert after != before


async def test_a_page_that_is_too_old_is_loaded_again_once(
    site: Site, browser: Browser, kind: str
) -> None:
    """Not for ever, if that does not help."""
    page = await (await browser.new_context()).new_page()
    loads: list[str] = []
    page.on("load", lambda _: loads.append("load"))
    await page.goto(f"{site.servers[0].url}/pieces/{kind}/?old=1")
    await page.wait_for_function(RELOADED)
    await page.wait_for_function(LIVE)
    await act(site, "card", f"{kind} after")
    await expect(page.locator("#card")).to_have_text(f"{kind} after")
    assert len(loads) == 2


async def test_no_fragment_is_missing_while_pages_are_loaded_and_hidden(
    site: Site, browser: Browser, kind: str
) -> None:
    """The short form; `python -m tests.e2e.page_loads` loads a thousand pages."""
    report = await Loads(browser, site, kind).run(loads=9, tabs=3, per_second=50)
    assert (report.missing, report.twice, report.loads) == (0, 0, 9)
    assert report.hidden > 0
