"""An `AbortSignal` ends the browser client, and a client that has ended lets go of it."""

import pytest
from playwright.async_api import Page

from tests.e2e.scripted import Script

COUNT = """() => {
  const { signal } = window.controller;
  window.listeners = 0;
  for (const [name, step] of [["addEventListener", 1], ["removeEventListener", -1]]) {
    const own = signal[name].bind(signal);
    signal[name] = (type, handler, options) => {
      window.listeners += step;
      options?.signal?.addEventListener("abort", () => (window.listeners -= 1));
      own(type, handler, options);
    };
  }
}"""


@pytest.mark.parametrize("moment", ["before", "idle"])
async def test_a_signal_that_has_aborted_connects_nothing(page: Page, moment: str) -> None:
    """Neither before the client was made nor after."""
    script = await Script.start(page, isAbortable=True)
    await script.run("window.controller.abort()")
    if moment == "before":
        code = "(client) => new client.constructor({ signal: window.controller.signal })"
        await script.run(f"() => {{ window.client = ({code})(window.client) }}")
    await script.run("client.connect()")
    await script.send("hi")
    codes = await script.run("client.join('general').catch(({ code }) => code)")
    assert codes == "closed"
    await script.until("settled.length === 1")
    assert await script.run("[client.state, settled]") == ["closed", [["hi", "closed"]]]
    assert not script.has_opened()


async def test_an_aborted_client_ends_and_cannot_be_connected_again(page: Page) -> None:
    script = await Script.start(page, isAbortable=True)
    socket = await script.connect()
    await script.run("window.controller.abort()")
    await socket.gone()
    await script.run("client.connect()")
    assert await script.run("client.state") == "closed"
    assert not script.has_opened()


async def test_an_attempt_that_waits_for_its_token_is_dropped(page: Page) -> None:
    script = await Script.start(page, isAbortable=True, asksToken=True)
    await script.run("client.connect()")
    await script.until("tokens.length === 1")
    await script.run("window.controller.abort(); tokens[0]('t')")
    await script.run("new Promise((done) => queueMicrotask(done))")
    assert not script.has_opened()


async def test_a_closed_client_leaves_no_listener(page: Page) -> None:
    """A signal may live as long as the page; a client that is connected again listens again."""
    script = await Script.start(page, isAbortable=True)
    await script.run("client.close()")
    await script.run(COUNT)
    for _ in range(3):
        socket = await script.connect()
        assert await script.run("window.listeners") == 1
        await script.run("client.close()")
        await socket.gone()
        assert await script.run("window.listeners") == 0
    socket = await script.connect()
    await script.run("window.controller.abort()")
    await socket.gone()
