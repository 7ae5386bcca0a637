"""The browser client with tokens that end: it asks for another one, and stays connected."""

import asyncio

from playwright.async_api import Browser

from harness.site import UNLIMITED, Factory
from tests.faults._token import SETTINGS, somebody

CONNECT = """async () => {
  const { RealtimeClient } = await import("/static/realtime/client.js");
  Object.assign(window, { asked: 0, renewed: 0, states: [] });
  const token = async () => {
    window.asked++;
    const answer = await fetch("/do/short_token", { method: "POST", body: '{"name": "ada"}' });
    return (await answer.json()).token;
  };
  const client = new RealtimeClient({ token });
  client.on("state", ({ state }) => window.states.push(state));
  client.on("authenticated", ({ expires_at }) => (window.renewed += Boolean(expires_at)));
  await client.room("general").join();
  return client.username;
}"""

RENEWED = """() => new Promise((done) => {
  const timer = setInterval(() => window.renewed >= 3 && done(clearInterval(timer)), 50);
})"""


async def test_a_token_is_replaced_before_it_ends(make_site: Factory, browser: Browser) -> None:
    """Told by the server in time, the client asks its page for another one and sends it."""
    settings = {**UNLIMITED, **SETTINGS, "GUESTS": False}
    site = make_site(settings=settings, urls="tests.faults._people")
    await somebody(site, "ada")
    page = await browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(f"{site.servers[0].url}/login/")
    assert await page.evaluate(CONNECT) == "ada"
    async with asyncio.timeout(20):
        await page.evaluate(RENEWED)
    assert await page.evaluate("window.states") == ["connecting", "open"]
    assert await page.evaluate("window.asked") >= 4
    assert errors == []


RETURN = """async (name) => {
  const { RealtimeClient } = await import("/static/realtime/client.js");
  const sockets = [];
  window.WebSocket = class extends WebSocket {
    constructor(address, protocols) {
      super(address, protocols);
      sockets.push(this);
    }
  };
  const ids = [];
  const client = new RealtimeClient({ name });
  client.on("welcome", ({ user_id }) => ids.push(user_id));
  await client.room("general").join();
  sockets[0].close();
  while (ids.length < 2) await new Promise((done) => setTimeout(done, 50));
  client.close();
  return { ids, names: client.username, addresses: sockets.map(({ url }) => url) };
}"""


async def test_a_guest_comes_back_by_a_token_that_stands_in_no_address(
    make_site: Factory, browser: Browser
) -> None:
    """Proxies log addresses, and the token is good for months."""
    site = make_site(settings={**UNLIMITED, "GUESTS": True}, servers=("daphne", "uvicorn"))
    for server, name in zip(site.servers, ("Ada", "Grace"), strict=True):
        page = await browser.new_page()
        await page.goto(f"{server.url}/login/")
        async with asyncio.timeout(20):
            found = await page.evaluate(RETURN, name)
        first, second = found["ids"]
        assert first == second
        assert found["names"] == name
        assert set(found["addresses"]) == {server.ws + "/"}
        await page.close()
