"""The examples at real servers, and in a browser."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from harness.client.raw import Raw
from harness.site import Factory, Site
from tests.e2e.errors import without_errors
from tests.e2e.test_accessibility import NARROW, WIDE, found

SERVERS = ["daphne", "uvicorn", "websockets"]
GUESTS: dict[str, Any] = {"GUESTS": True}


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    return make_shared_site(settings=GUESTS)


def address(site: Site, name: str) -> str:
    return f"{site.servers[0].ws}/{name}/"


@pytest.mark.parametrize("kind", SERVERS)
async def test_echo_and_batch_under_each_server(make_site: Factory, kind: str) -> None:
    """Text, bytes, a close with a code and a reason, batches of fifty."""
    site = make_site(servers=(kind,), settings=GUESTS)
    async with connect(address(site, "echo")) as echo:
        assert echo.subprotocol is None
        for frame in ("hé", "", b"\x00\xff", "x" * 60_000):
            await echo.send(frame)
            assert await echo.recv() == frame
    async with connect(address(site, "batch")) as batch:
        for number in range(120):
            await batch.send(str(number))
        sizes: list[int] = []
        while sum(sizes) < 120:
            sizes.append(len(json.loads(await batch.recv())["texts"]))
        assert max(sizes) <= 50
        await batch.send(b"x")
        with pytest.raises(ConnectionClosed) as closed:
            await batch.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4511
        told = "" if kind == "daphne" else "This connection takes only text frames."
        assert closed.value.rcvd.reason == told


@pytest.mark.parametrize("kind", SERVERS)
async def test_what_is_gathered_at_a_shutdown_is_answered_or_closed(
    make_site: Factory, kind: str
) -> None:
    """A raw client hears why, at once."""
    site = make_site(servers=(kind,), settings=GUESTS)
    async with connect(address(site, "batch")) as batch:
        await batch.send("a")
        await batch.recv()
        began = time.monotonic()
        stopping = asyncio.create_task(asyncio.to_thread(site.servers[0].terminate))
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(batch.recv(), 15)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4001
        assert time.monotonic() - began < 10
        await stopping


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_flood_of_raw_frames_is_held_back_or_cut(make_site: Factory, kind: str) -> None:
    """Within the input limits nothing is lost; beyond them the client is closed with 4029."""
    site = make_site(servers=(kind,), settings=GUESTS)
    async with connect(address(site, "echo")) as other:
        flood = await Raw.open(address(site, "echo"))
        for _ in range(20_000):
            flood.write("7")
        began = time.monotonic()
        await other.send("hi")
        assert await other.recv() == "hi"
        assert time.monotonic() - began < 5
        assert await flood.closed() == 4029
        flood.drop()
    async with connect(address(site, "echo")) as steady:
        for number in range(400):
            await steady.send(str(number))
        assert [await steady.recv() for _ in range(60)] == [str(one) for one in range(60)]


@pytest_asyncio.fixture(loop_scope="session")
async def browser(browser: Browser) -> AsyncIterator[Browser]:
    """One in which no page may have an error."""
    with without_errors(browser):
        yield browser


async def open_example(browser: Browser, site: Site, name: str, **options: Any) -> Page:
    page = await (await browser.new_context(**options)).new_page()
    await page.goto(f"{site.servers[0].url}/examples/{name}")
    return page


async def test_the_pages_work_in_a_browser(site: Site, browser: Browser) -> None:
    page = await open_example(browser, site, "")
    await page.get_by_role("link", name="Echo").click()
    await expect(page.get_by_test_id("state")).to_have_text("Connected")
    await page.get_by_test_id("text").fill("hé")
    await page.get_by_test_id("send-text").click()
    await expect(page.get_by_test_id("frames")).to_contain_text("Text: hé")
    await page.get_by_test_id("send-bytes").click()
    await expect(page.get_by_test_id("frames")).to_contain_text("Bytes: 68 c3 a9")
    await page.get_by_role("link", name="All examples").click()
    await page.get_by_role("link", name="Batch").click()
    await expect(page.get_by_test_id("state")).to_have_text("Connected")
    await page.get_by_test_id("send").click()
    await expect(page.get_by_test_id("frames")).to_contain_text("Batch of 3: ONE TWO THREE")
    await page.get_by_test_id("send-many").click()
    await expect(page.get_by_test_id("frames")).to_contain_text("Batch of 50: TEXT 1 ")
    await expect(page.get_by_test_id("frames")).to_contain_text("TEXT 200")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("name", ["", "echo/", "batch/"])
async def test_axe_finds_nothing_on_the_pages(
    site: Site, browser: Browser, name: str, size: dict[str, Any]
) -> None:
    page = await open_example(browser, site, name, **size, bypass_csp=True)
    if name:
        await expect(page.get_by_test_id("state")).to_have_text("Connected")
        await page.get_by_role("button").first.click()
        await expect(page.locator("#frames li").first).to_be_visible()
    assert await found(page) == []
