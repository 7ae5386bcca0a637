"""Members of a room while rows are written past its log."""

import pytest
from asgiref.sync import sync_to_async

from realtime import testing
from realtime.engine.engine import Engine
from realtime.models import Log, Message, Room
from realtime.testing import connect


def write_past(room: Room, first: int, last: int) -> None:
    Message.objects.bulk_create(
        Message(
            room=room,
            seq=number,
            changed_seq=number,
            sender="old",
            username="old",
            content=f"old {number}",
            nonce=f"old{number}",
        )
        for number in range(first, last + 1)
    )


@pytest.mark.parametrize("first", [1, 20])
async def test_a_room_that_is_open_goes_on_and_shows_the_rows(
    engine: Engine, room: Room, first: int
) -> None:
    """The next message is a jump, so what is before it is read and told first."""
    async with connect() as one, connect() as other:
        await one.join("general")
        await other.join("general")
        await sync_to_async(write_past)(room, first, first + 9)
        await one.message("general", "new")
        heard = [await other.next("message") for _ in range(11)]
    assert [item["content"] for item in heard] == [
        *(f"old {number}" for number in range(first, first + 10)),
        "new",
    ]


async def test_a_room_that_is_opened_later_shows_them_to_who_comes(
    engine: Engine, room: Room
) -> None:
    await sync_to_async(write_past)(room, 1, 100)
    await sync_to_async(Log.objects.all().delete)()
    async with connect() as one:
        joined = await one.join("general")
        assert [item["content"] for item in joined["messages"]] == [
            f"old {number}" for number in range(51, 101)
        ]
        assert (await one.message("general", "new"))["seq"] == 101
        page = await one.command("history", room="general", before=51)
        assert len(page["messages"]) == 50


async def test_a_row_that_was_saved_alone_is_told_by_the_pulse(room: Room) -> None:
    """As by a shell or a view that does not know better."""
    async with testing.engine(GUESTS=True, PULSE_SECONDS=0.1), connect() as one:
        await one.join("general")
        row = Message(
            room=room, seq=1, changed_seq=1, sender="s", username="s", content="saved", nonce="n"
        )
        await row.asave()
        assert (await one.next("message"))["content"] == "saved"
