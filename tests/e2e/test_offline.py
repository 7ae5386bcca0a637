"""Waiting messages survive a reload, and are never sent as another user."""

from playwright.async_api import Browser

from harness.site import Factory, Site
from harness.waiting import eventually
from tests.faults._browser import Chromium
from tests.faults._tabs import LOG_IN, Group
from tests.proxy import Proxy

CHANGED = ["identity_changed", [["stayed", "identity_changed"]]]
PEOPLE = "tests.faults._people"
ROWS = """() => new Promise((resolve) => {
  indexedDB.open("realtime").onsuccess = ({ target: { result: database } }) => {
    database.transaction("outbox").objectStore("outbox").getAll().onsuccess = ({ target }) => {
      database.close();
      resolve(target.result.map(({ user, content }) => [user, content]));
    };
  };
})"""


def stored(site: Site) -> list[tuple[str, str]]:
    return [(row.sender, row.content) for row in site.database.messages("general")]


async def test_a_message_without_its_ack_is_stored_once_over_a_reload(
    browser: Browser, make_site: Factory
) -> None:
    """The server has it already; the next page sends it again, with the messages after it."""
    site = make_site(urls=PEOPLE)
    async with Proxy(site.servers[0].port) as line:
        url = f"http://127.0.0.1:{line.port}"
        group = Group(Chromium(await browser.new_context()), site, url, hasOffline=True)
        await group.log_in("ada")
        member = await group.add()
        line.mute()
        await member.run("() => void ['one', 'two', 'three'].forEach(tab.send)")
        await eventually(lambda: len(stored(site)) == 1)
        await member.until("() => tab.stored().length === 3")
        line.restore()
        await group.load(member)
        await member.until("() => tab.isIdle() && tab.stored().length === 0")
        await eventually(lambda: len(stored(site)) == 3)
        assert [content for _, content in stored(site)] == ["one", "two", "three"]
        assert await member.run(ROWS) == []


async def test_messages_of_a_guest_survive_a_reload_of_its_tab(
    browser: Browser, make_site: Factory
) -> None:
    """It is the same guest, in this tab alone."""
    site = make_site(urls=PEOPLE, settings={"GUESTS": True})
    async with Proxy(site.servers[0].port) as line:
        url = f"http://127.0.0.1:{line.port}"
        chromium = Chromium(await browser.new_context())
        group = Group(chromium, site, url, hasOffline=True, hasTabs=False, user="guest:")
        member, other = await group.add(), await group.add()
        line.mute()
        await member.run("() => void ['one', 'two'].forEach(tab.send)")
        await member.until("() => tab.stored().length === 2")
        guest = await member.run("() => tab.client.userId")
        line.restore()
        await group.load(member)
        await member.until("() => tab.isIdle() && tab.stored().length === 0")
        await eventually(lambda: len(stored(site)) == 2)
        assert stored(site) == [(guest, "one"), (guest, "two")]
        assert await other.run("() => tab.client.userId") != guest


async def test_waiting_messages_are_not_sent_as_the_next_user_of_the_browser(
    browser: Browser, make_site: Factory
) -> None:
    """They wait for their own user, whose page ended or stayed open."""
    site = make_site(urls=PEOPLE)
    async with Proxy(site.servers[0].port) as line:
        url = f"http://127.0.0.1:{line.port}"
        chromium = Chromium(await browser.new_context())
        alice = Group(chromium, site, url, hasOffline=True)
        ada = await alice.log_in("alice")
        closing, staying = await alice.add(), await alice.add()
        line.cut()
        for member, text in ((closing, "closed"), (staying, "stayed")):
            await member.run("(text) => void tab.send(text)", text)
            await member.until("() => tab.stored().length === 1")
        await closing.tab.close()
        line.restore()
        bob = await chromium.tab()
        await bob.goto(f"{site.servers[0].url}/blank")
        user = await bob.run(LOG_IN, "bob")  # at another port: cookies belong to a host
        line.restore()
        await staying.until("() => tab.client.state === 'closed'")
        assert await staying.run("() => [tab.notes.code, tab.notes.failed]") == CHANGED
        await _bob_writes(Group(chromium, site, url, hasOffline=True, user=user), ada)
        await bob.run(
            "() => fetch('/do/log_in_again', { method: 'POST', body: '{\"name\": \"alice\"}' })"
        )
        await alice.load(staying)
        await staying.until("() => tab.isIdle()")
        assert await staying.run("() => tab.room.pending.map(({ content }) => content)") == [
            "stayed"
        ]
        await staying.run("() => tab.room.pending.forEach(({ nonce }) => tab.room.retry(nonce))")
        await staying.until("() => tab.room.pending.length === 0")
        assert stored(site)[1:] == [(ada, "closed"), (ada, "stayed")]
        assert await staying.run(ROWS) == []


async def _bob_writes(group: Group, ada: str) -> None:
    member = await group.add()
    await member.run("(text) => tab.send(text)", "mine")
    await member.until("() => tab.isIdle()")
    assert stored(group.site) == [(group.options["user"], "mine")]
    assert sorted(await member.run(ROWS)) == [[ada, "closed"], [ada, "stayed"]]
