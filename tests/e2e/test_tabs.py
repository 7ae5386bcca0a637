"""Tabs of one user share a socket, and end together with the session."""

from playwright.async_api import Browser

from harness.site import Factory
from harness.waiting import eventually
from tests.faults._browser import Chromium, ChromiumTab, opened
from tests.faults._tabs import Group

PEOPLE = "tests.faults._people"


async def test_tabs_share_one_socket_and_end_together_at_a_logout(
    browser: Browser, make_site: Factory
) -> None:
    """The next user of the browser meets nothing of the last one."""
    site = make_site(urls=PEOPLE)
    context = await browser.new_context()
    group = Group(Chromium(context), site, site.servers[0].url)
    await group.log_in("ada")
    one, other = await group.add(), await group.add()
    assert site.database.count("connection") == 1
    for number, member in enumerate([one, other]):
        await member.run("(text) => tab.send(text)", f"hello {number}")
    for member in (one, other):
        await member.until("() => tab.notes.told.length === 2")
    await one.run("() => fetch('/do/log_out', { method: 'POST' })")
    for member in (one, other):
        await member.until("() => tab.client.state === 'closed'")
        assert await member.run("() => tab.notes.code") == "identity_changed"
        assert await member.run("() => tab.room.messages.length") == 0
    await eventually(lambda: site.database.count("connection") == 0)


async def test_a_page_that_is_put_away_gives_up_the_socket_and_is_restored_as_it_was(
    make_site: Factory,
) -> None:
    """The back/forward cache keeps it, though another tab takes its lock and talks."""
    site = make_site(urls=PEOPLE)
    async with opened("chromium") as chromium:
        group = Group(chromium, site, site.servers[0].url, hasOffline=True)
        await group.log_in("ada")
        leader, other = await group.add(), await group.add()
        assert isinstance(leader.tab, ChromiumTab)
        await leader.run(
            "() => addEventListener('pageshow', ({ persisted }) => (tab.isRestored = persisted))"
        )
        await leader.tab.goto(f"{group.url}/blank?away")
        await other.until("() => tab.client.state === 'open' && tab.notes.transport !== 'tab'")
        await other.run("() => tab.send('meanwhile')")
        await leader.tab.back()
        await leader.until("() => Boolean(window.tab?.isRestored) && tab.notes.told.length === 1")
        await leader.run("() => tab.send('back')")
        await other.until("() => tab.notes.told.length === 2")
        assert await leader.run("() => tab.notes.transport") == "tab"
