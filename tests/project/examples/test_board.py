"""The board: notes are kept and cursors are not."""

from typing import Any

import pytest
from django.test import override_settings

from project.examples.board import topics
from project.examples.board.topics import BoardTopic
from realtime.testing import Client, Refused, committing, connect

pytestmark = [pytest.mark.django_db, pytest.mark.realtime]
BOARD, CURSORS = "board/wall", "board/wall/cursors"
NOTE: dict[str, Any] = {"x": 0.25, "y": 0.5, "text": "Buy milk", "colour": "green"}


async def notes(client: Client) -> dict[str, Any]:
    entries = (await client.subscribe(BOARD))["entries"]
    return {one["key"]: one["data"] for one in entries}


async def test_a_note_stays_for_those_who_come_later() -> None:
    async with connect() as ada:
        await ada.call(BOARD, "put", NOTE)
    async with connect() as bob:
        [note] = (await notes(bob)).values()
        assert {name: note[name] for name in NOTE} == NOTE


async def test_a_note_moves_and_keeps_its_author() -> None:
    async with connect() as ada, connect() as bob:
        author = (await ada.call(BOARD, "put", NOTE))["author"]
        [key] = await notes(bob)
        await bob.call(BOARD, "put", NOTE | {"id": key, "x": 0.75})
        event = await bob.next("event", key=key)
        assert (event["data"]["x"], event["data"]["author"]) == (0.75, author)
        assert len(await notes(ada)) == 1


async def test_a_removed_note_is_gone_for_all() -> None:
    async with connect() as ada, connect() as bob:
        await ada.call(BOARD, "put", NOTE)
        [key] = await notes(bob)
        await ada.call(BOARD, "remove", {"id": key})
        assert (await bob.next("event", key=key))["deleted"] is True
        assert await notes(ada) == {}
        with pytest.raises(Refused, match="conflict"):
            await bob.call(BOARD, "put", NOTE | {"id": key})


async def test_a_note_that_is_removed_while_it_moves_stays_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another user removes it between the look at the note and its new place."""
    read = BoardTopic.get

    def read_and_lose(topic: BoardTopic, key: str) -> Any:
        found = read(topic, key)
        topic.delete(key)
        return found

    async with connect() as ada:
        await ada.call(BOARD, "put", NOTE)
        [key] = await notes(ada)
        monkeypatch.setattr(BoardTopic, "get", read_and_lose)
        with pytest.raises(Refused, match="moved or removed") as refused:
            await ada.call(BOARD, "put", NOTE | {"id": key})
        assert (refused.value.code, refused.value.path) == ("conflict", "data.id")
        assert await notes(ada) == {}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"x": 1.5}, "data.x"),
        ({"text": ""}, "data.text"),
        ({"text": "x" * 81}, "data.text"),
        ({"colour": "black"}, "data.colour"),
        ({"id": "../x"}, "data.id"),
    ],
)
async def test_a_wrong_field_is_named(change: dict[str, Any], path: str) -> None:
    async with connect() as client:
        with pytest.raises(Refused) as refused:
            await client.call(BOARD, "put", NOTE | change)
        assert refused.value.reply["path"] == path


async def test_a_full_board_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "NOTES", 2)
    async with connect() as client:
        await client.call(BOARD, "put", NOTE)
        await client.call(BOARD, "put", NOTE)
        with pytest.raises(Refused, match="limit_exceeded"):
            await client.call(BOARD, "put", NOTE)
        [key, _] = await notes(client)
        await client.call(BOARD, "put", NOTE | {"id": key})


async def test_cursors_are_told_and_not_stored() -> None:
    async with connect() as ada, connect() as bob:
        await bob.subscribe(CURSORS)
        async with committing():
            await ada.call(CURSORS, "point", {"x": 0.1, "y": 0.2})
        event = await bob.next("event", name="cursor")
        assert "seq" not in event
        assert event["data"]["user_id"] == ada.user_id
        assert (await ada.subscribe(CURSORS))["entries"] == []
        assert (await ada.subscribe(BOARD))["entries"] == []


async def test_a_pointer_costs_half_a_command() -> None:
    limits = {"GUESTS": True, "COMMANDS_BURST": 4, "COMMANDS_PER_SECOND": 0.001}
    with override_settings(REALTIME=limits):
        async with connect() as client:
            for _ in range(7):  # replies cost a little too
                await client.call(CURSORS, "point", {"x": 0.1, "y": 0.2})
            with pytest.raises(Refused, match="rate_limited"):
                await client.call(CURSORS, "point", {"x": 0.1, "y": 0.2})


def test_the_two_topics_of_a_board_are_told_apart() -> None:
    assert BoardTopic.route().match("board/wall/cursors") is None
