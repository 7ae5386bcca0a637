"""A loop over a room gets each stored event once, in order, or hears that some are missing."""

import asyncio
from typing import Any

from harness.waiting import eventually
from realtime.client import Client, MessageEvent, Position, Room
from realtime.client.stream import MOST
from tests.client.scripted import Frame, Script, Socket, joined, message, state
from tests.client.talking import entered, opened, returned, shown


def page(command: Frame, seqs: range, *, has_more: bool = False, **more: Any) -> Frame:
    """The reply to a `history` with `after`."""
    return {
        "type": "history",
        "room": "general",
        "ref": command["ref"],
        "epoch": "e",
        "has_more": has_more,
        "messages": [state(seq) for seq in seqs],
        "through": seqs[-1],
        **more,
    }


async def test_events_of_one_frame_come_in_order(script: Script) -> None:
    """Also those that stand behind the reply to the join."""
    client, socket = await opened(script)
    joining = asyncio.create_task(client.room("general").join(history=2))
    command = await socket.expect("join")
    assert command["history"] == 2
    reply = {"messages": [state(1), state(2)], "through": 2}
    await socket.send(joined(command) | reply, message(3), message(4))
    assert await shown(await joining, 4) == [1, 2, 3, 4]
    await client.close()


async def test_repeats_are_dropped_and_skipped_positions_are_no_gap(script: Script) -> None:
    client, room, socket = await entered(script, 3)
    changed = {"type": "changed", "room": "general", "seq": 9, "from": 6}
    await socket.send(
        message(2),
        message(4),
        message(4),
        message(5),
        {**changed, "message": state(4, changed_seq=9)},
        message(10),
    )
    assert await shown(room, 4) == [4, 5, -9, 10]
    await client.close()


async def test_a_gap_is_filled_before_anything_newer(script: Script) -> None:
    """By a join from the position; what comes in between is in its reply."""
    client, room, socket = await entered(script, 3)
    await socket.send(message(7))
    command = await socket.expect("join")
    assert command["since"] == {"seq": 3, "epoch": "e"}
    await socket.send(message(8))
    found = [state(seq) for seq in range(4, 9)]
    await socket.joined(command, 8, recovered=True, messages=found)
    await socket.send(message(9))
    assert await shown(room, 6) == [4, 5, 6, 7, 8, 9]
    await client.close()


async def test_a_line_that_was_cut_is_continued(script: Script) -> None:
    """A change of an older message is told as one."""
    client, room, socket = await entered(script, 3)
    await socket.send(message(4))
    assert await shown(room, 1) == [4]
    socket = await returned(client, script, socket)
    command = await socket.expect("join")
    assert command["since"] == {"seq": 4, "epoch": "e"}
    found = [state(5), state(2, changed_seq=6), state(7)]
    await socket.joined(command, 7, recovered=True, messages=found)
    assert await shown(room, 3) == [5, -6, 7]
    assert client.positions == {"room general": {"seq": 6, "epoch": "e"}}
    await client.close()


async def test_more_than_a_resume_brings_is_read_by_pages(script: Script) -> None:
    """Newer events wait, and a page that fails for a while is asked for again."""
    client, room, socket = await entered(script, 3)
    socket = await returned(client, script, socket)
    await socket.joined(await socket.expect("join"), 300, messages=[state(300)])
    await socket.send(message(301))
    showing = asyncio.create_task(shown(room, 298))
    command = await socket.expect("history")
    assert command["after"] == 3
    await socket.error(command, "unavailable", retryable=True, retry_after=0.01)
    for start in (4, 104, 204):
        command = await socket.expect("history")
        assert command["after"] == start - 1
        end = min(start + 100, 302)
        await socket.send(page(command, range(start, end), has_more=end < 302))
    assert await showing == list(range(4, 302))
    await client.close()


async def test_a_room_is_read_from_its_beginning(script: Script) -> None:
    """Position 0 without an epoch begins any log."""
    client, socket = await opened(script)
    joining = asyncio.create_task(client.room("general").join(since=Position(0, "")))
    await socket.joined(await socket.expect("join"), 3, messages=[state(3)])
    showing = asyncio.create_task(shown(await joining, 3))
    command = await socket.expect("history")
    assert command["after"] == 0
    await socket.send(page(command, range(1, 4)))
    assert await showing == [1, 2, 3]
    assert client.positions == {"room general": {"seq": 2, "epoch": "e"}}
    await client.close()


async def test_a_client_that_wants_the_newest_skips_what_it_missed(script: Script) -> None:
    client, room, socket = await entered(script, 3, catch_up="newest")
    socket = await returned(client, script, socket)
    await socket.joined(await socket.expect("join"), 900, messages=[state(899), state(900)])
    assert await shown(room, 3) == [("reset", 897), 899, 900]
    await client.close()


async def test_what_was_purged_is_told_as_a_reset(script: Script) -> None:
    client, room, socket = await entered(script, 3)
    await socket.send({"type": "resync", "room": "general", "seq": 50, "epoch": "e"})
    command = await socket.expect("join")
    assert "since" not in command
    await socket.joined(command, 50)
    await socket.send(message(51))
    assert await shown(room, 2) == [("reset", None), 51]
    await client.close()


async def test_another_epoch_is_told_as_a_reset_and_acknowledged_messages_go_again(
    script: Script,
) -> None:
    """The new database may lack them. The one that waits comes behind them."""
    client, room, socket = await entered(script, 3)
    sending = asyncio.create_task(room.send("first"))
    first = await socket.expect("message")
    await socket.ack(first, 4)
    await sending
    socket = await returned(client, script, socket)
    sending = asyncio.create_task(room.send("second"))
    await socket.joined(await socket.expect("join"), 3, epoch="f", messages=[state(3)])
    again = await socket.expect("message")
    assert (again["content"], again["nonce"]) == ("first", first["nonce"])
    await socket.ack(again, 4)
    command = await socket.expect("message")
    assert command["content"] == "second"
    await socket.ack(command, 5)
    assert (await sending).seq == 5
    assert await shown(room, 2) == [("reset", None), 3]
    assert client.positions == {"room general": {"seq": 2, "epoch": "f"}}
    assert await asyncio.wait_for(_handled(client, room, socket), 20) == {"seq": 3, "epoch": "f"}
    await client.close()


async def _handled(client: Client, room: Room, socket: Socket) -> Any:
    """The position once the loop has asked for the event after the last one."""
    waiting = asyncio.create_task(anext(aiter(room)))
    await socket.send(message(4))
    await waiting
    return client.positions["room general"]


async def flooded(room: Room, socket: Socket, last: int) -> None:
    """Let the client receive more than it keeps, while nobody asks for it."""
    await socket.send(*(message(seq) for seq in range(1, last + 1)))
    await eventually(lambda: room.position == last)


async def test_a_slow_loop_gets_everything(script: Script) -> None:
    """What does not fit is read again when the loop gets there, before what came later."""
    client, room, socket = await entered(script)
    last = MOST + 50
    await flooded(room, socket, last)
    showing = asyncio.create_task(shown(room, last + 1))
    command = await socket.expect("history")
    assert command["after"] == MOST
    await socket.send(message(last + 1))
    await socket.send(page(command, range(MOST + 1, last + 1)))
    command = await socket.expect("history")
    await socket.send(page(command, range(last + 1, last + 2)))
    assert await showing == list(range(1, last + 2))
    await socket.send(message(last + 2))
    assert await shown(room, 1) == [last + 2]
    await client.close()


async def test_a_slow_loop_whose_events_were_purged_hears_of_it(script: Script) -> None:
    client, room, socket = await entered(script)
    await flooded(room, socket, MOST + 9)
    showing = asyncio.create_task(shown(room, MOST + 1))
    command = await socket.expect("history")
    await socket.send(
        {"type": "resync", "room": "general", "seq": MOST + 9, "epoch": "e", "ref": command["ref"]}
    )
    command = await socket.expect("join")
    assert "since" not in command
    await socket.joined(command, MOST + 9)
    found = await showing
    assert found == [*range(1, MOST + 1), ("reset", None)]
    await client.close()


async def test_a_position_of_an_earlier_client_is_continued(script: Script) -> None:
    """An event that its loop had begun to handle comes again."""
    client, room, socket = await entered(script, 3)
    await socket.send(message(4), message(5))
    assert await shown(room, 2) == [4, 5]
    kept = client.positions
    assert kept == {"room general": {"seq": 4, "epoch": "e"}}
    await client.close()
    client, socket = await opened(script, positions=kept)
    joining = asyncio.create_task(client.room("general").join(history=50))
    command = await socket.expect("join")
    assert command["since"] == {"seq": 4, "epoch": "e"}
    await socket.joined(command, 5, recovered=True, messages=[state(5)])
    assert await shown(await joining, 1) == [5]
    await client.close()


async def test_further_loops_get_what_comes_from_now_on(script: Script) -> None:
    """As far as it is of their classes."""
    client, room, socket = await entered(script, 3)
    await socket.send(message(4))
    assert await shown(room, 1) == [4]
    only_messages = room.events(MessageEvent)
    typing = {"type": "typing", "room": "general", "user_id": "2", "username": "2"}
    await socket.send(typing, message(5))
    assert (await anext(only_messages)).seq == 5
    only_messages.close()
    assert [one async for one in only_messages] == []
    await client.close()


async def test_a_loop_that_is_behind_ends_when_the_room_is_left(script: Script) -> None:
    client, room, socket = await entered(script)
    await flooded(room, socket, MOST + 1)
    showing = asyncio.create_task(shown(room, MOST + 9))
    command = await socket.expect("history")
    room.leave()
    await socket.error(command, "not_joined")
    assert await showing == list(range(1, MOST + 1))
    await client.close()


async def test_a_loop_that_waits_for_its_next_page_ends_when_the_room_is_left(
    script: Script,
) -> None:
    client, room, socket = await entered(script)
    await flooded(room, socket, MOST + 1)
    showing = asyncio.create_task(shown(room, MOST + 9))
    command = await socket.expect("history")
    await socket.error(command, "rate_limited", retryable=True, retry_after=600)
    await socket.send({"type": "ping"})
    await socket.expect("pong")
    room.leave()
    assert await showing == list(range(1, MOST + 1))
    await client.close()


async def test_a_page_that_crosses_a_resync_does_not_end_the_loop(script: Script) -> None:
    """The server has removed the client from the room by then."""
    client, room, socket = await entered(script)
    await flooded(room, socket, MOST + 1)
    showing = asyncio.create_task(shown(room, MOST + 1))
    command = await socket.expect("history")
    await socket.send({"type": "resync", "room": "general", "seq": 9, "epoch": "f"})
    await socket.error(command, "not_joined")
    await socket.joined(await socket.expect("join"), 9, epoch="f")
    assert await showing == [*range(1, MOST + 1), ("reset", None)]
    await client.close()


async def test_members_are_those_who_are_present(script: Script) -> None:
    client, socket = await opened(script)
    joining = asyncio.create_task(client.room("general").join())
    members = [{"user_id": "1", "username": "ada", "connections": 1}]
    await socket.joined(await socket.expect("join"), members=members, count=1)
    room = await joining
    assert (room.members, room.count) == ({"1": "ada"}, 1)
    who = {"room": "general", "user_id": "2", "username": "bob"}
    await socket.send({"type": "joined", **who})
    assert type(await anext(aiter(room))).__name__ == "Joined"
    assert (room.members, room.count) == ({"1": "ada", "2": "bob"}, 2)
    await socket.send({"type": "left", **who})
    await anext(aiter(room))
    assert (room.members, room.count) == ({"1": "ada"}, 1)
    await client.close()


async def test_a_position_that_was_given_is_used_once(script: Script) -> None:
    client, socket = await opened(script)
    joining = asyncio.create_task(client.room("general").join(since=Position(7, "e")))
    command = await socket.expect("join")
    assert command["since"] == {"seq": 7, "epoch": "e"}
    await socket.joined(command, 8, recovered=True, messages=[state(8)])
    assert await shown(await joining, 1) == [8]
    await client.close()
