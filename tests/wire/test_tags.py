"""Names on the wire."""

from typing import get_args

import pytest

from realtime.wire.commands import COMMANDS, Command
from realtime.wire.decoder import tag_of
from realtime.wire.events import AnyOutgoing, Outgoing
from realtime.wire.tags import snake

NAMES = {
    "Move": "move",
    "JoinGame": "join_game",
    "HTTPError": "http_error",
    "GetURL": "get_url",
    "Level2Up": "level2_up",
    "A": "a",
    "Already_Apart": "already_apart",
}


@pytest.mark.parametrize("name", NAMES)
def test_the_words_of_a_class_name_are_separated(name: str) -> None:
    assert snake(name) == NAMES[name]


def test_commands_and_replies_of_a_site_have_names_in_snake_case() -> None:
    """One that is given stays as it is."""

    class JoinGame(Command):
        pass

    class GameState(Outgoing):
        pass

    class Given(Command, tag="Game.Given"):
        pass

    assert [tag_of(one) for one in (JoinGame, GameState, Given)] == [
        "join_game",
        "game_state",
        "Game.Given",
    ]


def test_the_protocol_has_single_words_only() -> None:
    """So its names did not change with the rule."""
    names = [*COMMANDS, *map(tag_of, get_args(AnyOutgoing))]
    assert [name for name in names if not name.isalpha() or not name.islower()] == []
