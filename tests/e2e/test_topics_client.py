"""Topics in the browser client: snapshots, resumes, gaps, calls and refusals."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

import realtime
from tests.e2e.scripted import Frame, Script, Socket

DOCUMENT = Path(realtime.__file__).parent.parent / "docs/client.md"
[SNIPPET] = re.findall(r"```js\n(const order.*?)```", DOCUMENT.read_text(), re.DOTALL)
RECIPES = (DOCUMENT.parent / "topics.md").read_text()
[DASHBOARD] = re.findall(r"```js\n(const metrics.*?)```", RECIPES, re.DOTALL)
ORDER = "order/7"
LISTEN = """([name, options]) => {
  window.order = client.topic(name);
  const note = (type) => (...detail) => heard.push([type, detail[1]?.seq ?? detail[0], detail[0]]);
  for (const type of ["paid", "reset", "refused", "subscribed"]) order.on(type, note(type));
  order.on("event", ({ seq, live }) => heard.push(["event", seq, live]));
  void order.subscribe(options).then(() => settled.push("ok"), ({ code }) => settled.push(code));
}"""
TYPES = "heard.map(([type]) => type).filter((type) => type !== 'state')"
CALL = """(data) => void order.call("cancel", data).then((reply) => settled.push(reply),
  ({ code, path, outcome }) => settled.push([code, path, outcome]))"""


def entry(seq: int, key: str | None = None, *, deleted: bool = False) -> Frame:
    """The state of an entry: an event, the value of a key, or its deletion."""
    state: Frame = {"name": "paid", "seq": seq, "at": "2026-01-01T00:00:00.000Z"}
    if key is not None:
        state["key"] = key
    return state | ({"deleted": True} if deleted else {"data": {"total": seq}})


def event(seq: int, key: str | None = None, **more: Any) -> Frame:
    return {"type": "event", "topic": ORDER, **entry(seq, key), **more}


def subscribed(socket: Socket, command: Frame, through: int, *entries: Frame, **more: Any) -> None:
    """Answer a `subscribe`."""
    state: Frame = {"epoch": "e", "recovered": "since" in command, "has_more": False}
    state |= {"topic": command["topic"], "through": through, "entries": list(entries), **more}
    socket.send({"type": "subscribed", "ref": command["ref"], **state})


def history(socket: Socket, command: Frame, *entries: Frame, has_more: bool = False) -> None:
    through = entries[-1]["seq"] if entries else command["after"]
    reply: Frame = {"type": "history", "topic": ORDER, "ref": command["ref"], "epoch": "e"}
    socket.send(reply | {"entries": list(entries), "has_more": has_more, "through": through})


async def begun(
    page: Page, through: int = 0, *entries: Frame, **more: Any
) -> tuple[Script, Socket]:
    """Return a page that has subscribed to an order."""
    script = await Script.start(page)
    socket = await script.connect()
    await script.run(LISTEN, [ORDER, {}])
    subscribed(socket, await socket.expect("subscribe"), through, *entries, **more)
    await script.until("settled.length === 1")
    return script, socket


async def again(script: Script, socket: Socket) -> tuple[Socket, Frame]:
    """Lose the connection; return the next one and its `subscribe`."""
    await socket.close()
    await script.state("waiting")
    await script.run("client.connect()")
    socket = await script.socket()
    socket.welcome("1")
    return socket, await socket.expect("subscribe")


async def values(script: Script) -> dict[str, int]:
    found: list[Any] = await script.run("[...order.state].map(([key, { total }]) => [key, total])")
    return dict(found)


async def test_a_listener_gets_the_data_of_its_event(page: Page) -> None:
    script, socket = await begun(page)
    socket.send(event(1), event(2))
    await script.until("heard.filter(([type]) => type === 'paid').length === 2")
    assert await script.run("heard.filter(([type]) => type === 'paid')") == [
        ["paid", 1, {"total": 1}],
        ["paid", 2, {"total": 2}],
    ]
    assert await script.run("heard.filter(([type]) => type === 'event')") == [
        ["event", 1, True],
        ["event", 2, True],
    ]


async def test_a_page_sees_who_is_subscribed(page: Page) -> None:
    """The list comes with the reply; joins, leaves and whole lists change it."""
    ada = {"user_id": "1", "username": "Ada"}
    bob = {"user_id": "2", "username": "Bob"}
    script, socket = await begun(page, members=[ada], count=1, rights=["presence"])
    await script.run("void order.on('presence', (told) => heard.push(['presence', told]))")
    seen = "[order.count, [...order.presence.values()].map(({ username }) => username)]"
    assert await script.run(seen) == [1, ["Ada"]]
    for told in (bob, bob):  # a repeat counts once
        socket.send({"type": "joined", "topic": ORDER, **told})
    socket.send({"type": "left", "topic": ORDER, **ada})
    await script.until("order.count === 1 && order.presence.has('2')")
    socket.send({"type": "presence", "topic": ORDER, "count": 300, "members": []})
    await script.until("order.count === 300 && order.presence.size === 0")
    socket.send({"type": "presence", "topic": ORDER, "count": 0, "members": []})
    await script.until("order.count === null")
    told = await script.run("heard.filter(([type]) => type === 'presence').map(([, told]) => told)")
    assert [one["count"] for one in told] == [2, 2, 1, 300, None]
    assert [member["username"] for member in told[0]["members"]] == ["Ada", "Bob"]


async def test_a_topic_without_presence_tells_none(page: Page) -> None:
    script, _ = await begun(page)
    assert await script.run("[order.count, order.presence.size]") == [None, 0]


async def test_a_page_goes_on_from_its_moment(page: Page) -> None:
    """The signature goes along with every later position."""
    script = await Script.start(page)
    socket = await script.connect()
    await script.run(LISTEN, [ORDER, {"signature": "signed"}])
    command = await socket.expect("subscribe")
    assert (command["since"], "signature" in command) == ({"at": "signed"}, False)
    subscribed(socket, command, 2, entry(2))
    await script.until("settled.length === 1")
    heard = await script.run(TYPES)
    assert heard == ["paid", "event", "subscribed"]
    socket, command = await again(script, socket)
    assert command["since"] == {"seq": 2, "epoch": "e"}
    assert command["signature"] == "signed"


async def test_a_page_that_is_too_old_begins_anew(page: Page) -> None:
    """It subscribes without its signature, and hears of the reset."""
    script = await Script.start(page)
    socket = await script.connect()
    await script.run(LISTEN, [ORDER, {"signature": "signed"}])
    command = await socket.expect("subscribe")
    refusal = {"code": "signature_expired", "message": "Too old.", "retryable": False}
    socket.send({"type": "error", "topic": ORDER, "ref": command["ref"], **refusal})
    command = await socket.expect("subscribe")
    assert {"since", "signature"}.isdisjoint(command)
    subscribed(socket, command, 2, entry(2))
    await script.until("settled.length === 1")
    assert await script.run("settled") == ["ok"]
    heard = await script.run(TYPES)
    assert heard == ["reset", "paid", "event", "subscribed"]


async def test_a_page_whose_moment_was_purged_is_reset(page: Page) -> None:
    script = await Script.start(page)
    socket = await script.connect()
    await script.run(LISTEN, [ORDER, {"signature": "signed"}])
    subscribed(socket, await socket.expect("subscribe"), 2, recovered=False)
    await script.until("settled.length === 1")
    assert await script.run(TYPES) == ["reset", "subscribed"]


async def test_a_listener_that_was_stopped_hears_nothing(page: Page) -> None:
    script, socket = await begun(page)
    await script.run("void (window.stop = order.on('paid', () => heard.push(['stopped'])))")
    socket.send(event(1))
    await script.until("heard.some(([type]) => type === 'stopped')")
    await script.run("stop()")
    socket.send(event(2))
    await script.until("heard.some(([type, seq]) => type === 'event' && seq === 2)")
    assert len(await script.run("heard.filter(([type]) => type === 'stopped')")) == 1


async def test_a_deletion_comes_to_listeners_of_all_events_only(page: Page) -> None:
    """A listener of a name reads the fields of its data, which a deletion has not."""
    script, socket = await begun(page, 1, entry(1, "a"))
    await script.run("void order.on('event', ({ seq, deleted }) => heard.push([deleted, seq]))")
    socket.send({"type": "event", "topic": ORDER, **entry(2, "a", deleted=True)})
    socket.send(event(3))
    await script.until("heard.some(([type, seq]) => type === 'paid' && seq === 3)")
    assert await script.run("heard.filter(([type]) => type === 'paid').map(([, seq]) => seq)") == [
        1,
        3,
    ]
    assert await script.run("heard.filter(([type]) => type === true)") == [[True, 2]]
    assert await values(script) == {}


async def test_the_pages_of_a_snapshot_are_read_to_the_end(page: Page) -> None:
    """Each page is asked for from the last one; only then is the topic subscribed."""
    script = await Script.start(page)
    socket = await script.connect()
    await script.run(LISTEN, [ORDER, {"history": 5}])
    command = await socket.expect("subscribe")
    assert (command["history"], "since" in command) == (5, False)
    subscribed(socket, command, 4, entry(3, "a"), entry(4, "b"), has_more=True, until=9)
    command = await socket.expect("subscribe")
    assert command["since"] == {"seq": 4, "epoch": "e", "until": 9}
    assert await script.run("order.subscribed") is False
    subscribed(socket, command, 9, entry(8, "c"), has_more=True, until=9)
    command = await socket.expect("subscribe")
    assert command["since"] == {"seq": 9, "epoch": "e", "until": 9}
    deletion = entry(10, "a", deleted=True)
    subscribed(socket, command, 11, deletion, entry(11, "b"))
    await script.until("settled.length === 1")
    assert await values(script) == {"b": 11, "c": 8}
    assert (
        await script.run("heard.filter(([type]) => type === 'subscribed')[0][1].resumed") is False
    )


async def test_a_snapshot_goes_on_after_a_lost_connection(page: Page) -> None:
    script = await Script.start(page)
    socket = await script.connect()
    await script.run(LISTEN, [ORDER, {}])
    first = await socket.expect("subscribe")
    subscribed(socket, first, 4, entry(4, "b"), has_more=True, until=9)
    await socket.expect("subscribe")
    socket, command = await again(script, socket)
    assert command["since"] == {"seq": 4, "epoch": "e", "until": 9}
    subscribed(socket, command, 12, entry(7, "c"))
    await script.until("settled.length === 1")
    assert await values(script) == {"b": 4, "c": 7}
    assert await script.heard("reset") == []


async def test_a_subscription_resumes_from_its_position(page: Page) -> None:
    """Missed events are told in order and once, and marked as missed."""
    script, socket = await begun(page, 5)
    socket.send(event(6))
    await script.until("heard.some(([type]) => type === 'event')")
    socket, command = await again(script, socket)
    assert command["since"] == {"seq": 6, "epoch": "e"}
    subscribed(socket, command, 8, entry(7), entry(8))
    socket.send(event(8), event(9))
    await script.until("heard.some(([type, seq]) => type === 'event' && seq === 9)")
    assert await script.run("heard.filter(([type]) => type === 'event')") == [
        ["event", 6, True],
        ["event", 7, False],
        ["event", 8, False],
        ["event", 9, True],
    ]
    assert await script.heard("reset") == []


async def test_a_gap_is_filled_before_anything_newer(page: Page) -> None:
    script, socket = await begun(page, 5)
    socket.send(event(9))
    command = await socket.expect("history")
    assert (command["topic"], command["after"]) == (ORDER, 5)
    socket.send(event(10))
    history(socket, command, entry(6), entry(7), has_more=True)
    command = await socket.expect("history")
    assert command["after"] == 7
    history(socket, command, entry(8), entry(9), entry(10))
    await script.until("order.subscription.state === 'joined'")
    assert await script.heard("event") == [6, 7, 8, 9, 10]


async def test_an_event_that_stands_for_several_positions_is_no_gap(page: Page) -> None:
    script, socket = await begun(page, 5)
    socket.send(event(8, "a", **{"from": 6}))
    await script.until("order.state.size === 1")
    assert "history" not in socket.types()


async def test_the_first_event_of_a_log_tells_its_epoch(page: Page) -> None:
    script, socket = await begun(page, 0, epoch="")
    socket.send(event(1, epoch="e"))
    await script.until("heard.some(([type]) => type === 'event')")
    _, command = await again(script, socket)
    assert command["since"] == {"seq": 1, "epoch": "e"}


async def test_a_topic_without_entries_resumes_from_the_beginning(page: Page) -> None:
    script, socket = await begun(page, 0, epoch="")
    socket, command = await again(script, socket)
    assert command["since"] == {"seq": 0, "epoch": ""}
    subscribed(socket, command, 1, entry(1))
    await script.until("heard.some(([type, seq]) => type === 'event' && seq === 1)")
    assert await script.heard("reset") == []


async def test_events_that_are_not_stored_are_delivered_as_they_come(page: Page) -> None:
    script, socket = await begun(page, 0, epoch="")
    socket.send({"type": "event", "topic": ORDER, "name": "paid", "data": {"total": 3}})
    await script.until("heard.some(([type]) => type === 'paid')")
    assert "history" not in socket.types()


async def test_a_resync_replaces_the_values(page: Page) -> None:
    script, socket = await begun(page, 5, entry(4, "a"), entry(5, "b"))
    socket.send({"type": "resync", "topic": ORDER, "seq": 1, "epoch": "f"})
    command = await socket.expect("subscribe")
    assert "since" not in command
    subscribed(socket, command, 1, entry(1, "c"), epoch="f")
    await script.until("order.subscribed")
    assert await values(script) == {"c": 1}
    assert len(await script.heard("reset")) == 1


async def test_a_topic_that_is_refused_is_told(page: Page) -> None:
    script = await Script.start(page)
    socket = await script.connect()
    await script.run(LISTEN, [ORDER, {}])
    command = await socket.expect("subscribe")
    error = {"type": "error", "code": "unknown_topic", "message": "No.", "retryable": False}
    socket.send(error | {"ref": command["ref"], "topic": ORDER})
    await script.until("settled.length === 1")
    assert await script.run("[settled[0], order.subscribed]") == ["unknown_topic", False]
    assert len(await script.heard("refused")) == 1


async def test_a_removed_client_forgets_the_values(page: Page) -> None:
    script, socket = await begun(page, 4, entry(4, "a"))
    removed = {"type": "removed", "topic": ORDER, "code": "unknown_topic", "message": "No."}
    socket.send(removed)
    await script.until("heard.some(([type]) => type === 'refused')")
    assert await script.run("[order.subscribed, order.state.size]") == [False, 0]
    socket.send(event(5))
    await script.run("void order.subscribe()")
    assert "since" not in await socket.expect("subscribe")


async def test_unsubscribing_ends_the_events_and_keeps_the_position(page: Page) -> None:
    script, socket = await begun(page, 4, entry(4, "a"))
    await script.run("order.unsubscribe()")
    assert (await socket.expect("unsubscribe"))["topic"] == ORDER
    socket.send(event(5, "a"))
    await script.run("void order.subscribe()")
    assert (await socket.expect("subscribe"))["since"] == {"seq": 4, "epoch": "e"}
    assert await values(script) == {"a": 4}


async def test_a_subscription_that_was_ended_before_its_reply_is_ended_at_the_server(
    page: Page,
) -> None:
    script = await Script.start(page)
    socket = await script.connect()
    await script.run(LISTEN, [ORDER, {}])
    command = await socket.expect("subscribe")
    await script.run("order.unsubscribe()")
    subscribed(socket, command, 4)
    await socket.expect("unsubscribe")
    assert await script.run("order.subscribed") is False


async def test_subscribing_twice_sends_one_command(page: Page) -> None:
    script, socket = await begun(page, 4)
    await socket.close()
    await script.state("waiting")
    await script.run("void order.subscribe(); void order.subscribe(); client.connect()")
    socket = await script.socket()
    socket.welcome("1")
    command = await socket.expect("subscribe")
    await script.run("void order.subscribe()")
    subscribed(socket, command, 4)
    await script.until("order.subscribed")
    assert socket.types().count("subscribe") == 1


async def test_the_server_may_give_a_topic_its_usual_name(page: Page) -> None:
    """`order/007` is `order/7`."""
    script = await Script.start(page)
    socket = await script.connect()
    await script.run(LISTEN, ["order/007", {}])
    command = await socket.expect("subscribe")
    subscribed(socket, {**command, "topic": ORDER}, 0)
    await script.until("order.subscribed")
    socket.send(event(1))
    await script.until("heard.some(([type]) => type === 'event')")
    assert await script.run("client.topic('order/7') === order") is True


async def test_a_call_settles_with_the_data_of_its_reply(page: Page) -> None:
    script, socket = await begun(page)
    await script.run(CALL, {"reason": "late"})
    command = await socket.expect("call")
    assert (command["topic"], command["name"]) == (ORDER, "cancel")
    assert command["data"] == {"reason": "late"}
    reply = {"type": "result", "topic": ORDER, "name": "cancelled", "data": {"by": "me"}}
    socket.send(reply | {"ref": command["ref"]})
    await script.until("settled.length === 2")
    assert await script.run("settled[1]") == {"by": "me"}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"code": "invalid_message", "path": "data.reason"},
            ["invalid_message", "data.reason", None],
        ),
        ({"code": "unavailable", "outcome": "unknown"}, ["unavailable", None, "unknown"]),
    ],
)
async def test_a_call_is_rejected_with_the_typed_error(
    page: Page, fields: Frame, told: list[str | None]
) -> None:
    """Once: it is not repeated, although some errors can be retried."""
    script, socket = await begun(page)
    await script.run(CALL, {})
    command = await socket.expect("call")
    error = {"type": "error", "message": "No.", "retryable": True, "ref": command["ref"]}
    socket.send(error | fields)
    await script.until("settled.length === 2")
    assert await script.run("settled[1].map((value) => value ?? null)") == told
    await script.passes(9)
    assert socket.types().count("call") == 1


async def test_a_call_whose_connection_is_lost_is_not_repeated(page: Page) -> None:
    """Its outcome is unknown; without a connection it fails at once."""
    script, socket = await begun(page)
    await script.run(CALL, {})
    await socket.expect("call")
    next_socket, command = await again(script, socket)
    await script.until("settled.length === 2")
    assert await script.run("settled[1]") == ["offline", None, "unknown"]
    subscribed(next_socket, command, 0)
    await script.until("order.subscribed")
    assert "call" not in next_socket.types()
    await next_socket.close()
    await script.state("waiting")
    await script.run(CALL, {})
    await script.until("settled.length === 3")
    assert await script.run("settled[2].map((value) => value ?? null)") == ["offline", None, None]


async def test_another_user_gets_none_of_the_values(page: Page) -> None:
    script, socket = await begun(page, 4, entry(4, "a"))
    await script.run("void client.connect({ user: '2' })")
    assert await script.run("order.state.size") == 0
    socket = await script.socket()
    socket.welcome("2")
    assert "since" not in await socket.expect("subscribe")


async def test_the_example_of_the_document_works(page: Page) -> None:
    script = await Script.start(page)
    socket = await script.connect()
    given = "const show = (...told) => heard.push(['show', ...told]); "
    given += "const log = (...told) => heard.push(['log', told]);"
    await script.run(f"void (async () => {{ {given}\n{SNIPPET}\nsettled.push(by); }})()")
    command = await socket.expect("subscribe")
    subscribed(socket, command, 1, {**entry(1, "courier"), "name": "position"})
    socket.send(event(2))
    command = await socket.expect("call")
    assert command["data"] == {"reason": "late"}
    reply = {"type": "result", "topic": ORDER, "name": "cancelled", "data": {"by": "me"}}
    socket.send(reply | {"ref": command["ref"]})
    await script.until("settled[0] === 'me'")
    assert await script.run("heard.filter(([type]) => type === 'show')") == [["show", 2]]
    assert await script.run("heard.filter(([type]) => type === 'log').map(([, told]) => told)") == [
        ["position", "courier", {"total": 1}, False],
        ["paid", None, {"total": 2}, True],
    ]


async def test_the_dashboard_of_the_page_draws_the_values(page: Page) -> None:
    """The recipe of docs/topics.md."""
    script = await Script.start(page)
    socket = await script.connect()
    given = "const show = (lines) => heard.push(lines);"
    await script.run(f"void (async () => {{ {given}\n{DASHBOARD}\nsettled.push('ok'); }})()")
    command = await socket.expect("subscribe")
    value = {"name": "metric", "key": "web-1/cpu", "data": {"percent": 12.5}}
    subscribed(socket, command, 1, entry(1) | value)
    command = await socket.expect("call")
    assert (command["name"], command["data"]) == ("clear", {"key": "web-1/cpu"})
    assert await script.run("heard.at(-1)") == ["web-1/cpu: 12.5 %"]
    deletion = entry(2, "web-1/cpu", deleted=True) | {"name": "metric"}
    socket.send({"type": "event", "topic": "metrics", **deletion})
    socket.send({"type": "result", "topic": "metrics", "data": {}, "ref": command["ref"]})
    await script.until("settled[0] === 'ok'")
    assert await script.run("heard.at(-1)") == []


async def test_two_names_of_one_topic_are_refused(page: Page) -> None:
    """The first one goes on; a name that was given up is free again."""
    script, socket = await begun(page)
    await script.run(
        "void client.topic('order/007').subscribe().catch(({ code }) => settled.push(code))"
    )
    command = await socket.expect("subscribe")
    subscribed(socket, {**command, "topic": ORDER}, 0)
    await script.until("settled.length === 2")
    assert await script.run("settled[1]") == "duplicate"
    socket.send(event(1))
    await script.until("heard.some(([type, seq]) => type === 'event' && seq === 1)")
    assert "unsubscribe" not in socket.types()


async def test_a_listener_that_throws_stops_no_other(page: Page) -> None:
    script, socket = await begun(page)
    await script.run("void order.on('paid', () => { throw new Error('mine'); })")
    await script.run("void order.on('paid', ({ total }) => settled.push(total))")
    socket.send(event(1), event(2, "a"))
    await script.until("settled.length === 3")
    assert await values(script) == {"a": 2}


@pytest.mark.parametrize("has_more", [False, True], ids=["the last page", "another page"])
async def test_a_listener_may_unsubscribe_in_the_middle_of_a_page(
    page: Page, has_more: bool
) -> None:
    """The server follows the topic from the last page on, so only then it is told."""
    script = await Script.start(page)
    socket = await script.connect()
    await script.run("window.order = client.topic('order/7')")
    await script.run("void order.on('paid', () => order.unsubscribe())")
    await script.run("void order.subscribe().catch(({ code }) => settled.push(code))")
    command = await socket.expect("subscribe")
    subscribed(socket, command, 4, entry(3, "a"), entry(4, "b"), has_more=has_more)
    await script.until("settled.length === 1")
    assert await script.run("[settled[0], order.subscribed]") == ["left", False]
    await script.passes(5)
    assert socket.types().count("subscribe") == 1
    assert socket.types().count("unsubscribe") == (0 if has_more else 1)


async def test_a_refusal_that_passes_is_tried_again(page: Page) -> None:
    script = await Script.start(page)
    socket = await script.connect()
    await script.run(LISTEN, [ORDER, {}])
    command = await socket.expect("subscribe")
    error = {"type": "error", "code": "unavailable", "message": "No.", "retryable": True}
    socket.send(error | {"ref": command["ref"], "topic": ORDER, "retry_after": 2})
    await script.run("1")
    await script.passes(3)
    subscribed(socket, await socket.expect("subscribe"), 0)
    await script.until("order.subscribed")
    assert await script.heard("refused") == []
