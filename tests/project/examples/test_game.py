"""The game: its rules, its seats, and what players and spectators get."""

from typing import Any

import pytest

from project.examples.game.models import Game
from project.examples.game.rules import EMPTY, winner, winning_line
from project.examples.game.topics import GameTopic
from realtime.testing import Client, Refused, connect

pytestmark = [pytest.mark.django_db, pytest.mark.realtime]
TOPIC = "game/kitchen"


@pytest.fixture
def game(db: None) -> Game:
    return Game.objects.create(slug="kitchen")


async def refusal(client: Client, name: str, **data: Any) -> tuple[str, str | None]:
    """Return the code of the refusal of a call, and the path of the wrong field."""
    with pytest.raises(Refused) as refused:
        await client.call(TOPIC, name, data)
    return refused.value.code, refused.value.reply.get("path")


async def play(first: Client, second: Client, *cells: int) -> None:
    """Put marks into these cells in turn."""
    for number, cell in enumerate(cells):
        await (first, second)[number % 2].call(TOPIC, "move", {"cell": cell})


async def table(client: Client) -> Any:
    """Return the state of the table as a new subscriber gets it."""
    reply = await client.subscribe(TOPIC)
    return next(one["data"] for one in reply["entries"] if one.get("key") == "table")


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        ("xxx......", (0, 1, 2)),
        ("o..o..o..", (0, 3, 6)),
        ("..x.x.x..", (2, 4, 6)),
        ("xxo......", ()),
        (EMPTY, ()),
    ],
)
def test_three_in_a_line_win(cells: str, line: tuple[int, ...]) -> None:
    assert winning_line(cells) == line
    assert winner(cells) == (cells[line[0]] if line else None)


async def test_two_players_play_and_a_third_watches(game: Game) -> None:
    """All get the same state, and one who comes later gets it at once."""
    async with connect() as ada, connect() as bob, connect() as eve:
        for one in (ada, bob, eve):
            await one.subscribe(TOPIC)
        assert (await ada.call(TOPIC, "join"))["mark"] == "x"
        assert (await bob.call(TOPIC, "join"))["mark"] == "o"
        await play(ada, bob, 0, 3, 1, 4, 2)
        for one in (ada, bob, eve):
            event = await one.next("event", name="moved", data={"mark": "x", "cell": 2})
            assert event["seq"] > 0
        state = await table(eve)
        assert (state["winner"], state["line"], state["is_over"]) == ("x", [0, 1, 2], True)
        assert {mark: one["user_id"] for mark, one in state["players"].items()} == {
            "x": ada.user_id,
            "o": bob.user_id,
        }


async def test_bad_moves_are_refused_with_typed_errors(game: Game) -> None:
    async with connect() as ada, connect() as bob, connect() as eve:
        assert await refusal(ada, "move", cell=0) == ("permission_denied", None)
        await ada.call(TOPIC, "join")
        assert await refusal(ada, "move", cell=0) == ("conflict", None)  # no other player yet
        await bob.call(TOPIC, "join")
        assert await refusal(eve, "join") == ("limit_exceeded", None)
        assert await refusal(bob, "move", cell=0) == ("conflict", None)  # not the turn
        assert await refusal(ada, "move", cell=9) == ("invalid_message", "data.cell")
        assert await refusal(ada, "move") == ("invalid_message", "data.cell")
        assert await refusal(ada, "mov", cell=1) == ("unknown_type", "name")
        await play(ada, bob, 0)
        assert await refusal(bob, "move", cell=0) == ("conflict", "data.cell")  # taken
        assert await refusal(ada, "again") == ("conflict", None)
        assert (await Game.objects.aget()).cells == "x........"


async def test_a_player_keeps_the_seat_and_can_leave(game: Game) -> None:
    async with connect() as ada, connect() as bob:
        await ada.call(TOPIC, "join")
        assert (await ada.call(TOPIC, "join"))["mark"] == "x"
        await bob.call(TOPIC, "join")
        await play(ada, bob, 4)
        assert (await ada.call(TOPIC, "leave"))["mark"] == "x"
        state = await table(bob)
        assert state["cells"] == EMPTY
        assert list(state["players"]) == ["o"]


async def test_a_game_that_is_over_begins_again(game: Game) -> None:
    async with connect() as ada, connect() as bob:
        await ada.call(TOPIC, "join")
        await bob.call(TOPIC, "join")
        await play(ada, bob, 0, 3, 1, 4, 2)
        assert await refusal(bob, "move", cell=8) == ("conflict", None)
        await bob.call(TOPIC, "again")
        assert (await table(ada))["cells"] == EMPTY


async def test_a_draw_is_over(game: Game) -> None:
    async with connect() as ada, connect() as bob:
        await ada.call(TOPIC, "join")
        await bob.call(TOPIC, "join")
        await play(ada, bob, 0, 1, 2, 4, 3, 5, 7, 6, 8)
        state = await table(ada)
        assert (state["winner"], state["is_over"]) == (None, True)


async def test_a_game_that_does_not_exist_is_unknown() -> None:
    async with connect() as client:
        with pytest.raises(Refused, match="unknown_topic"):
            await client.subscribe("game/nowhere")
        with pytest.raises(Refused, match="unknown_topic"):
            await client.call("game/nowhere", "join")


def test_a_topic_has_the_slug_of_its_game() -> None:
    assert GameTopic(slug="kitchen").name == TOPIC
