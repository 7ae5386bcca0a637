"""Topics in the client: events as structs, values of keys, pages of a snapshot, calls."""

import asyncio
from typing import Any

import msgspec
import pytest

from realtime.client import Position, RealtimeError, Reset, Topic, TopicEvent
from tests.client.scripted import Frame, Script, Socket, entry, event
from tests.client.talking import opened, returned, subscribed


class Paid(msgspec.Struct):
    total: int


class Place(msgspec.Struct):
    x: int


class Cancel(msgspec.Struct):
    reason: str


def value(key: str, x: int, seq: int, **more: Any) -> Frame:
    return entry(seq, name="place", key=key, data={"x": x}, **more)


async def next_events(topic: Topic, number: int) -> list[TopicEvent | Reset]:
    async with asyncio.timeout(20):
        return [await anext(aiter(topic)) for _ in range(number)]


async def test_events_come_as_structs_and_values_are_kept(script: Script) -> None:
    client, socket = await opened(script)
    topic = client.topic("order/7", events=[Paid], value=Place)
    subscribing = asyncio.create_task(topic.subscribe(history=1))
    command = await socket.expect("subscribe")
    assert command["history"] == 1
    await socket.subscribed(command, 4, entries=[value("a", 1, 2), entry(3), value("b", 2, 4)])
    await subscribing
    assert dict(topic.values) == {"a": Place(1), "b": Place(2)}
    await socket.send(
        event(5), event(6, name="place", key="a", data={"x": 9}), event(7, name="other")
    )
    found = await next_events(topic, 6)
    shown = [(one.name, one.data, one.seq) for one in found if isinstance(one, TopicEvent)]
    assert shown == [
        ("place", Place(1), 2),
        ("paid", Paid(3), 3),
        ("place", Place(2), 4),
        ("paid", Paid(5), 5),
        ("place", Place(9), 6),
        ("other", {"total": 7}, 7),
    ]
    gone = event(8, name="place", key="a", deleted=True)
    del gone["data"]
    await socket.send(gone)
    [last] = await next_events(topic, 1)
    assert isinstance(last, TopicEvent)
    assert (last.key, last.data, last.is_deleted) == ("a", None, True)
    assert dict(topic.values) == {"b": Place(2)}
    assert client.positions["topic order/7"] == {"seq": 7, "epoch": "e"}
    await client.close()


async def test_a_struct_that_does_not_fit_raises_in_its_loop_only(script: Script) -> None:
    """And the loop goes on behind it."""
    client, topic, socket = await subscribed(script)
    typed, plain = topic.events(Paid), aiter(topic)
    await socket.send(event(1, data={"total": "much"}), event(2))
    with pytest.raises(RealtimeError, match=r"paid.*total"):
        await anext(typed)
    assert await anext(typed) == Paid(2)
    with pytest.raises(RealtimeError, match="invalid_event"):
        await anext(plain)
    assert (await next_events(topic, 1))[0].data == Paid(2)  # type: ignore[union-attr]
    await client.close()


async def test_a_snapshot_comes_in_pages(script: Script) -> None:
    """And what is published meanwhile comes behind it."""
    client, socket = await opened(script)
    topic = client.topic("order/7")
    subscribing = asyncio.create_task(topic.subscribe())
    command = await socket.expect("subscribe")
    assert "since" not in command
    page = {"has_more": True, "until": 9}
    await socket.subscribed(command, 5, entries=[value("a", 1, 5)], **page)
    command = await socket.expect("subscribe")
    assert command["since"] == {"seq": 5, "epoch": "e", "until": 9}
    assert not topic.is_live
    gone = value("a", 0, 10, deleted=True)
    entries = [value("b", 2, 9), gone, entry(11)]
    await socket.subscribed(command, 11, recovered=True, entries=entries)
    await subscribing
    await socket.send(event(12))
    assert dict(topic.values) == {"b": {"x": 2}}
    found = await next_events(topic, 5)
    assert [one.seq for one in found if isinstance(one, TopicEvent)] == [5, 9, 10, 11, 12]
    await client.close()


async def test_a_line_that_is_lost_between_pages_goes_on_there(script: Script) -> None:
    client, socket = await opened(script)
    topic = client.topic("order/7")
    subscribing = asyncio.create_task(topic.subscribe())
    page = {"has_more": True, "until": 9}
    command = await socket.expect("subscribe")
    await socket.subscribed(command, 5, entries=[value("a", 1, 5)], **page)
    await socket.expect("subscribe")
    socket = await returned(client, script, socket)
    command = await socket.expect("subscribe")
    assert command["since"] == {"seq": 5, "epoch": "e", "until": 9}
    await socket.subscribed(command, 9, recovered=True, entries=[value("b", 2, 9)])
    await subscribing
    assert dict(topic.values) == {"a": {"x": 1}, "b": {"x": 2}}
    await client.close()


async def test_the_first_event_of_a_log_tells_its_epoch(script: Script) -> None:
    """It had none before, and nothing is missing."""
    client, topic, socket = await subscribed(script, epoch="")
    await socket.send(event(1, epoch="new"))
    assert [one.seq for one in await next_events(topic, 1)] == [1]  # type: ignore[union-attr]
    socket = await returned(client, script, socket)
    assert (await socket.expect("subscribe"))["since"] == {"seq": 1, "epoch": "new"}
    await client.close()


async def test_a_name_that_the_server_writes_otherwise_is_the_same_topic(script: Script) -> None:
    """Two names of one topic both get its events, until each has been left."""
    client, socket = await opened(script)
    topics = [client.topic("order/007"), client.topic("order/7")]
    for topic in topics:
        subscribing = asyncio.create_task(topic.subscribe())
        await socket.subscribed(await socket.expect("subscribe"), topic="order/7")
        await subscribing
    await socket.send(event(1))
    for topic in topics:
        assert [one.seq for one in await next_events(topic, 1)] == [1]  # type: ignore[union-attr]
    topics[1].unsubscribe()
    await socket.send(event(2))
    assert [one.seq for one in await next_events(topics[0], 1)] == [2]  # type: ignore[union-attr]
    assert "unsubscribe" not in socket.types()
    removed = {"type": "removed", "topic": "order/7", "code": "permission_denied", "message": "No."}
    await socket.send(removed)
    with pytest.raises(RealtimeError, match="permission_denied"):
        await next_events(topics[0], 1)
    await client.close()


async def test_a_topic_whose_log_began_while_the_line_was_away(script: Script) -> None:
    client, topic, socket = await subscribed(script, epoch="")
    socket = await returned(client, script, socket)
    command = await socket.expect("subscribe")
    assert command["since"] == {"seq": 0, "epoch": ""}
    await socket.subscribed(command, 1, epoch="new", recovered=True, entries=[entry(1)])
    await socket.send(event(2))
    assert [one.seq for one in await next_events(topic, 2)] == [1, 2]  # type: ignore[union-attr]
    assert client.positions["topic order/7"] == {"seq": 1, "epoch": "new"}
    await client.close()


async def test_a_snapshot_instead_of_a_resume_replaces_the_values(script: Script) -> None:
    """The loop reads what it missed by pages."""
    client, topic, socket = await subscribed(script, through=1, entries=[value("old", 1, 1)])
    await next_events(topic, 1)
    socket = await returned(client, script, socket)
    command = await socket.expect("subscribe")
    await socket.subscribed(command, 900, entries=[value("new", 2, 899)])
    showing = asyncio.create_task(next_events(topic, 2))
    command = await socket.expect("history")
    assert (command["topic"], command["after"]) == ("order/7", 1)
    page = {"type": "history", "topic": "order/7", "ref": command["ref"], "epoch": "e"}
    entries = [entry(2), value("new", 2, 899)]
    await socket.send({**page, "has_more": False, "through": 900, "entries": entries})
    assert [one.seq for one in await showing] == [2, 899]  # type: ignore[union-attr]
    assert dict(topic.values) == {"new": {"x": 2}}
    await client.close()


async def test_events_that_are_not_stored_have_no_position(script: Script) -> None:
    client, topic, socket = await subscribed(script)
    await socket.send({"type": "event", "topic": "order/7", "name": "paid", "data": {"total": 1}})
    [found] = await next_events(topic, 1)
    assert isinstance(found, TopicEvent)
    assert (found.data, found.seq, found.at) == ({"total": 1}, None, None)
    await client.close()


async def answer(socket: Socket, **reply: Any) -> Frame:
    """Answer a call, and return it."""
    command = await socket.expect("call")
    fields = {"type": "result", "topic": "order/7", "ref": command["ref"], "name": "paid"}
    await socket.send({**fields, "data": {"total": 0}, **reply})
    return command


async def test_a_command_is_called_by_a_struct_or_by_its_name(script: Script) -> None:
    client, topic, socket = await subscribed(script)
    calling = asyncio.create_task(topic.call(Cancel(reason="late"), reply=Paid))
    command = await answer(socket)
    assert (command["name"], command["data"]) == ("cancel", {"reason": "late"})
    assert await calling == Paid(0)
    called = asyncio.create_task(topic.call("cancel", {"reason": "late"}))
    await answer(socket)
    assert await called == {"total": 0}
    await client.close()


async def test_a_reply_of_another_class_is_an_error(script: Script) -> None:
    client, topic, socket = await subscribed(script)
    calling = asyncio.create_task(topic.call("cancel", reply=Place))
    await answer(socket)
    with pytest.raises(RealtimeError, match="invalid_event"):
        await calling
    await client.close()


async def test_an_error_names_the_wrong_field(script: Script) -> None:
    client, topic, socket = await subscribed(script)
    calling = asyncio.create_task(topic.call("cancel"))
    await socket.error(await socket.expect("call"), "invalid_message", path="data.reason")
    with pytest.raises(RealtimeError, match=r"data\.reason") as raised:
        await calling
    assert raised.value.outcome == "refused"
    await client.close()


async def test_a_call_is_never_repeated(script: Script) -> None:
    """What has become of it is not known if the line is lost before the reply."""
    client, topic, socket = await subscribed(script)
    calling = asyncio.create_task(topic.call("cancel"))
    await socket.expect("call")
    socket = await returned(client, script, socket)
    with pytest.raises(RealtimeError) as raised:
        await calling
    assert (raised.value.code, raised.value.outcome) == ("offline", "unknown")
    await socket.subscribed(await socket.expect("subscribe"), recovered=True)
    assert "call" not in socket.types()
    await client.close()


async def test_a_topic_is_a_context(script: Script) -> None:
    client, socket = await opened(script)
    topic = client.topic("order/7")

    async def use() -> None:
        async with topic:
            assert topic.is_live

    using = asyncio.create_task(use())
    await socket.subscribed(await socket.expect("subscribe"))
    await using
    assert (await socket.expect("unsubscribe"))["topic"] == "order/7"
    await client.close()


@pytest.mark.parametrize("since", [Position(0, ""), Position(3, "e")], ids=["begin", "later"])
async def test_a_position_of_an_earlier_client_is_continued(
    script: Script, since: Position
) -> None:
    """All values come, also those that have not changed since; the loop reads what it lacks."""
    client, socket = await opened(script)
    topic = client.topic("order/7")
    subscribing = asyncio.create_task(topic.subscribe(since=since))
    command = await socket.expect("subscribe")
    assert "since" not in command
    page = {"has_more": True, "until": 4}
    await socket.subscribed(command, 2, entries=[value("old", 1, 2)], **page)
    command = await socket.expect("subscribe")
    assert command["since"] == {"seq": 2, "epoch": "e", "until": 4}
    await socket.subscribed(command, 4, recovered=True, entries=[value("new", 2, 4)])
    await subscribing
    showing = asyncio.create_task(next_events(topic, 1))
    command = await socket.expect("history")
    assert command["after"] == since.seq
    reply = {"type": "history", "topic": "order/7", "ref": command["ref"], "epoch": "e"}
    await socket.send({**reply, "has_more": False, "through": 4, "entries": [value("new", 2, 4)]})
    assert [one.seq for one in await showing] == [4]  # type: ignore[union-attr]
    assert dict(topic.values) == {"old": {"x": 1}, "new": {"x": 2}}
    await socket.send(event(5))
    await next_events(topic, 1)
    assert client.positions["topic order/7"] == {"seq": 4, "epoch": "e"}
    await client.close()


async def test_a_page_of_history(script: Script) -> None:
    client, topic, socket = await subscribed(script, through=9)
    asking = asyncio.create_task(topic.history(before=9, limit=2))
    command = await socket.expect("history")
    assert (command["before"], command["limit"]) == (9, 2)
    page = {"type": "history", "topic": "order/7", "ref": command["ref"], "epoch": "e"}
    await socket.send({**page, "has_more": True, "entries": [entry(7), entry(8)]})
    assert [one.seq for one in await asking] == [7, 8]
    await client.close()


async def test_a_topic_that_is_not_there_refuses(script: Script) -> None:
    client, socket = await opened(script)
    subscribing = asyncio.create_task(client.topic("order/8").subscribe())
    await socket.error(await socket.expect("subscribe"), "unknown_topic")
    with pytest.raises(RealtimeError, match="unknown_topic"):
        await subscribing
    await client.close()


async def test_members_are_those_who_are_subscribed(script: Script) -> None:
    """As far as the client may see them."""
    members = [{"user_id": "1", "username": "ada"}]
    client, topic, socket = await subscribed(script, members=members, count=1)
    assert (topic.members, topic.count) == ({"1": "ada"}, 1)
    who = {"topic": "order/7", "user_id": "2", "username": "bob"}
    await socket.send({"type": "joined", **who}, event(1))
    await next_events(topic, 1)
    assert (topic.members, topic.count) == ({"1": "ada", "2": "bob"}, 2)
    gone = {"type": "presence", "topic": "order/7", "members": [], "count": 0}
    await socket.send({"type": "left", **who}, gone, event(2))
    await next_events(topic, 1)
    assert (topic.members, topic.count) == ({}, 0)
    await client.close()
