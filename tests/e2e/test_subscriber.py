"""A client that stays in a large topic over lost connections, while the topic changes."""

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from harness.client.subscriber import Subscriber
from harness.site import ROOT, UNLIMITED, Factory, Site

FILL = """
import django; django.setup()
from project.examples.dashboard.topics import DashboardTopic, Load
topic = DashboardTopic()
topic.set_many({f"old-{n}/cpu": Load(percent=n % 100) for n in range(1300)})
for n in range(0, 1300, 7):
    topic.delete(f"old-{n}/cpu")
"""
READ = """
import json, django; django.setup()
from project.examples.dashboard.topics import DashboardTopic
print(json.dumps({key: one.data for key, one in DashboardTopic().values().items()}))
"""


def publishing(site: Site) -> "subprocess.Popen[str]":
    options = ["--machines", "40", "--seconds", "8", "--rate", "2000"]
    command = [sys.executable, "manage.py", "publish_dashboard", *options]
    return subprocess.Popen(command, cwd=ROOT, env=site.env, stdout=subprocess.PIPE, text=True)


def shown(subscriber: Subscriber) -> dict[str, Any]:
    return {key: one["data"] for key, one in subscriber.topics["dashboard"].values.items()}


@pytest.mark.parametrize("database", ["postgres", "sqlite"])
async def test_clients_converge_over_lost_connections(make_site: Factory, database: str) -> None:
    """In pages, by resumes, after a killed server: no repeat, no gap, no wrong value."""
    site = make_site(database=database, servers=("daphne", "uvicorn"), settings=UNLIMITED)
    await asyncio.to_thread(site.run, "-c", FILL)
    urls = [f"{url}/" for url in site.urls]
    publisher = await asyncio.to_thread(publishing, site)
    try:
        async with (
            Subscriber("ada", urls, ["dashboard"]) as ada,
            Subscriber("bob", urls[::-1], ["dashboard"], "msgpack") as bob,
        ):
            assert len(shown(ada)) >= 1300 - 186
            for _ in range(3):
                await ada.move()
                await bob.move()
            site.servers[0].kill()
            site.servers[0].start()
            told, _ = await asyncio.to_thread(publisher.communicate, None, 60)
            assert "values measured" in told
            stored = json.loads(await asyncio.to_thread(site.run, "-c", READ))
            for one in (ada, bob):
                await one.until(lambda one=one: shown(one) == stored)
                assert one.faults == []
                assert one.restarts == 0
    finally:
        publisher.kill()


async def test_a_page_reads_a_large_topic_to_its_end(make_site: Factory, browser: Browser) -> None:
    """The browser client pages too, and resumes after a restart of the server."""
    site = make_site(settings=UNLIMITED)
    [server] = site.servers
    await asyncio.to_thread(site.run, "-c", FILL)
    page = await (await browser.new_context()).new_page()
    await page.goto(f"{server.url}/examples/dashboard/")
    await expect(page.locator("tbody tr")).to_have_count(1300 - 186, timeout=20_000)
    server.kill()
    told = await asyncio.to_thread(publishing(site).communicate, None, 60)
    assert "values measured" in told[0]
    server.start()
    await expect(page.locator("tbody tr")).to_have_count(1300 - 186 + 40, timeout=20_000)
    stored = json.loads(await asyncio.to_thread(site.run, "-c", READ))
    values = await page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("tbody tr")].map(
          ({ id, cells }) => [id, cells[1].textContent]))"""
    )
    expected = {
        key.removesuffix("/cpu"): str(int(one["percent"] + 0.5))
        for key, one in stored.items()
        if key.endswith("/cpu")
    }
    assert {key: values[key] for key in expected} == expected
