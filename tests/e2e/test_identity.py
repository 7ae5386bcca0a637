"""The browser client is one identity: that of the page, or of its first welcome."""

from typing import Any

import pytest
from playwright.async_api import Page

from tests.e2e.scripted import Script, Socket, message

GUEST = "guest:a"
MEMORY = """() => {
  const room = client.rooms.get("general");
  return [room?.messages.size ?? 0, room?.members.size ?? 0, Object.keys(room?.about ?? {}).length];
}"""


async def returned(script: Script, socket: Socket, user_id: str) -> Socket:
    """Cut the line; the next welcome is for `user_id`."""
    await socket.close(4005)
    await script.state("waiting")
    await script.run("client.connect()")
    following = await script.socket()
    following.welcome(user_id)
    return following


async def with_a_message(page: Page, user_id: str, **options: Any) -> tuple[Script, Socket]:
    script = await Script.start(page, **options)
    socket = await script.connect(user_id)
    members = [{"user_id": user_id, "username": "me", "connections": 1}]
    await script.enter(socket, 1, messages=[message(1)], members=members)
    return script, socket


@pytest.mark.parametrize("user_id", ["2", GUEST])
@pytest.mark.parametrize("options", [{}, {"user": "1"}], ids=["first", "given"])
async def test_a_page_of_one_user_never_becomes_another(
    page: Page, user_id: str, options: dict[str, Any]
) -> None:
    """Log-out in another tab: this one ends, sends nothing and forgets what it was shown."""
    script, socket = await with_a_message(page, "1", **options)
    await socket.close(4005)
    await script.state("waiting")
    await script.send("secret")
    await script.run("client.connect()")
    following = await script.socket()
    following.welcome(user_id)
    await script.state("closed")
    await following.gone()
    assert following.seen == []
    assert await script.run("settled") == [["secret", "identity_changed"]]
    assert await script.run(MEMORY) == [0, 0, 0]
    assert (await script.heard("state"))[-1] == "closed"
    assert (await script.run("heard.at(-1)[2].code")) == "identity_changed"


@pytest.mark.parametrize("user_id", ["2", GUEST])
async def test_what_was_written_before_the_first_welcome_is_for_nobody_else(
    page: Page, user_id: str
) -> None:
    """The cookie may have changed since the page was made."""
    script = await Script.start(page, user="1")
    await script.run("client.connect(); void client.join('general')")
    await script.send("secret")
    socket = await script.socket()
    socket.welcome(user_id)
    await script.state("closed")
    assert socket.seen == []
    assert await script.run("settled") == [["secret", "identity_changed"]]


async def test_a_page_of_a_guest_does_not_become_a_user(page: Page) -> None:
    """Somebody logs in in another tab."""
    script = await Script.start(page, user="guest:", name="Ann")
    await script.run("client.connect()")
    socket = await script.socket()
    socket.welcome("1")
    await script.state("closed")
    assert socket.seen == []


async def test_a_closed_page_stays_who_it_was_until_it_is_told_otherwise(page: Page) -> None:
    """To try again does not help; `connect({ user })` accepts the other one."""
    script, socket = await with_a_message(page, "1")
    await returned(script, socket, "2")
    await script.state("closed")
    await script.run("client.connect()")
    (await script.socket()).welcome("2")
    await script.state("closed")
    await script.run("client.connect({ user: '2' })")
    socket = await script.socket()
    socket.welcome("2")
    await script.state("open")
    assert "since" not in await socket.expect("join")


async def test_another_user_is_accepted_while_the_line_is_open(page: Page) -> None:
    """A single-page application logs in: what waits is rejected, rooms are empty."""
    script, socket = await with_a_message(page, GUEST)
    await script.send("from the guest")
    await socket.expect("message")
    await script.run("client.connect({ user: '1' })")
    following = await script.socket()
    await socket.gone()
    assert await script.run("settled") == [["from the guest", "identity_changed"]]
    assert await script.run(MEMORY) == [0, 0, 0]
    following.welcome("1")
    await script.state("open")
    assert "message" not in following.types()


async def test_a_guest_may_become_another_guest(page: Page) -> None:
    """Its token was lost: rooms are emptied and joined anew, what waits is rejected."""
    script, socket = await with_a_message(page, GUEST, user="guest:")
    await socket.close()
    await script.state("waiting")
    await script.send("from the first")
    await script.run("client.connect()")
    following = await script.socket()
    following.welcome("guest:b")
    await script.state("open")
    assert "since" not in await following.expect("join")
    assert await script.run("settled") == [["from the first", "identity_changed"]]
    assert await script.run(MEMORY) == [0, 0, 0]


async def test_the_same_user_resumes_and_sends_what_waits(page: Page) -> None:
    script, socket = await with_a_message(page, "1", user="1")
    await socket.close()
    await script.state("waiting")
    await script.send("later")
    await script.run("client.connect()")
    following = await script.socket()
    following.welcome("1")
    join = await following.expect("join")
    assert join["since"] == {"seq": 1, "epoch": "e"}
    following.joined(join, 1, recovered=True)
    assert (await following.expect("message"))["content"] == "later"


async def test_a_renewed_token_of_somebody_else_ends_the_connection(page: Page) -> None:
    """Also where the server would accept it."""
    script, socket = await with_a_message(page, "1", asksToken=False)
    socket.send({"type": "authenticated", "user_id": "2", "username": "bob"})
    await script.state("closed")
    await socket.gone()
    assert await script.run(MEMORY) == [0, 0, 0]


async def test_a_page_may_sign_in_by_a_command_of_its_own(page: Page) -> None:
    script = await Script.start(page)
    socket = await script.connect(GUEST)
    await script.run("void client.request({ type: 'auth', token: 't' })")
    ref = (await socket.expect("auth"))["ref"]
    socket.send({"type": "authenticated", "user_id": "1", "username": "ada", "ref": ref})
    await script.until("client.userId === '1'")
    assert await script.run("client.state") == "open"
    await returned(script, socket, GUEST)
    await script.state("closed")


TOKEN_EXPIRED = {"type": "error", "code": "token_expired", "message": "", "retryable": True}


@pytest.mark.parametrize("given", ["null", "undefined", "''"])
async def test_no_token_is_no_auth(page: Page, given: str) -> None:
    """`auth` without a token would end the connection."""
    script = await Script.start(page, asksToken=True)
    await script.run("client.connect()")
    await script.until("tokens.length === 1")
    await script.run(f"tokens.pop()({given})")
    socket = await script.socket()
    assert await script.run("offered") == [["realtime.v1.ndjson"]]
    socket.welcome("1")
    socket.send(TOKEN_EXPIRED)
    await script.until("tokens.length === 1")
    await script.run(f"tokens.pop()({given})")
    await script.passes(10)  # longer than until another try
    await script.run("void client.request({ type: 'presence', room: 'x' }).catch(() => {})")
    await socket.expect("presence")
    assert "auth" not in socket.types()


async def test_a_token_that_comes_late_is_not_for_the_next_connection(page: Page) -> None:
    """It belongs to the attempt that asked for it."""
    script = await Script.start(page, asksToken=True)
    await script.run("client.connect()")
    await script.until("tokens.length === 1")
    await script.run("tokens.pop()('first')")
    socket = await script.socket()
    socket.welcome("1")
    await script.state("open")
    socket.send(TOKEN_EXPIRED)
    await script.until("tokens.length === 1")
    await socket.close()
    await script.state("waiting")
    await script.run("client.connect()")
    await script.until("tokens.length === 2")
    await script.run("tokens[1]('second')")
    following = await script.socket()
    following.welcome("1")
    await script.state("open")
    await script.run("tokens[0]('late')")
    await script.passes(10)  # longer than until another try
    await script.run("void client.request({ type: 'presence', room: 'x' }).catch(() => {})")
    await following.expect("presence")
    assert "auth" not in following.types()
    assert (await script.run("offered[1]"))[1] == "realtime.token.second"
