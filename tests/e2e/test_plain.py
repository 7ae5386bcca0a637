"""The plainest client of the protocol, against the demo as anybody starts it."""

import pytest
from websockets.exceptions import InvalidStatus

from harness.client.websocket import Client
from harness.site import Demo


@pytest.mark.parametrize("path", ["", "/"])
async def test_a_client_without_subprotocol_cookie_or_origin_can_chat(
    demo: Demo, path: str
) -> None:
    """`join`, `message`, `ping` and `leave`, two clients, nothing but JSON."""
    async with (
        await Client.connect(demo.ws + path) as alice,
        await Client.connect(demo.ws + path) as bob,
    ):
        for client in (alice, bob):
            me = (await client.expect("welcome"))["user_id"]
            assert me.startswith("guest:")
            await client.raw('{"type":"join","room":"general"}')
            joined = await client.expect("joined", room="general", user_id=me)
            assert [member for member in joined["members"] if member["user_id"] == me]
        await alice.expect("joined", room="general", user_id=me)
        await alice.raw('{"type":"message","room":"general","content":"hi"}')
        for client in (alice, bob):
            message = await client.expect("message", room="general", content="hi")
            assert message["user_id"] == alice.seen[0]["user_id"]
        await alice.raw('{"type":"ping"}')
        await alice.expect("pong")
        await bob.raw('{"type":"leave","room":"general"}')
        await bob.expect("left", room="general")
        await alice.expect("left", room="general", user_id=me)
        assert not [item for item in alice.seen + bob.seen if item["type"] == "error"]
    assert demo.database.messages("general")[-1].content == "hi"


async def test_a_browser_may_only_come_from_the_site_itself(demo: Demo) -> None:
    """The site's own origin is let in, others are refused before the handshake is done."""
    async with await Client.connect(demo.ws, origin=demo.url.rstrip("/")) as client:
        await client.expect("welcome")
    for origin in ("https://evil.example", f"http://127.0.0.1:{demo.port + 1}", "null"):
        with pytest.raises(InvalidStatus) as refused:
            await Client.connect(demo.ws, origin=origin)
        assert refused.value.response.status_code == 403
