"""The page that compares three ways to write one game shows and counts what is here."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from realtime.errors import CommandError
from realtime.store.accounts.identity import Identity
from realtime.topics.registry import registry
from realtime.wire.commands import Call
from tests.consumers.conftest import database, sqlite_url
from tests.game import rules
from tests.game.scenario import STEPS, enveloped, play
from tests.game.stock import GameConsumer

__all__ = ["database", "sqlite_url"]

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/comparison.md").read_text()
WAYS = {"stock": "Channels", "with_chanx": "chanx", "with_topic": "this package"}
LAYER = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


def source_of(way: str) -> str:
    """The file of a way without its docstring."""
    return (ROOT / f"tests/game/{way}.py").read_text().split('"""\n', 1)[1].strip()


@pytest.fixture
def users(settings: Any) -> dict[str, User]:
    settings.CHANNEL_LAYERS = LAYER
    return {
        name: User(pk=number, username=name) for number, name in enumerate(("ada", "bob", "eve"), 1)
    }


@pytest.fixture
def game() -> Iterator[Any]:
    """The topic class, which is forgotten after the test."""
    rules.games.clear()
    with registry.isolated():
        from tests.game.with_topic import GameTopic

        yield GameTopic


@pytest.mark.parametrize("way", WAYS)
def test_the_page_shows_each_way_and_counts_its_lines(way: str) -> None:
    """Lines that are not blank, with the imports."""
    source = source_of(way)
    assert f"```python\n{source}\n```" in PAGE
    number = len([line for line in source.splitlines() if line.strip()])
    [counted] = re.findall(rf"^## With {WAYS[way]}: (\d+) lines$", PAGE, re.MULTILINE)
    assert int(counted) == number


async def test_the_game_is_played_with_channels(users: dict[str, User]) -> None:
    assert await play(GameConsumer, users, dict) == len(STEPS)


async def test_the_game_is_played_with_chanx(users: dict[str, User]) -> None:
    """Where it is installed; `python -m tests.game` does it in an environment of its own."""
    pytest.importorskip("chanx.channels.websocket")
    from tests.game.with_chanx import GameConsumer as Typed

    assert await play(Typed, users, enveloped) == len(STEPS)


def test_the_game_is_played_with_a_topic(game: Any, users: dict[str, User], database: str) -> None:
    """The same steps, and the same errors; `path` names the wrong field."""
    for name, step, error in STEPS:
        topic = game.made({"slug": "red"}, Identity.of(users[name]))
        told = _answer(topic, step)
        assert isinstance(told, CommandError) == (error is not None), (step, told)
        if isinstance(told, CommandError):
            wrong = "name" if error == "action" else f"data.{error}"
            assert (told.message == error) != (told.path == wrong), (step, told.path)
        else:
            assert told.players == rules.games["red"].players


def _answer(topic: Any, step: dict[str, Any]) -> Any:
    """The state that a step is answered by, or the error."""
    fields = {key: value for key, value in step.items() if key != "action"}
    try:
        handler, command = topic.calls.decode(
            Call(topic=topic.name, name=step["action"], data=fields)
        )
        return handler.method(topic, command)
    except CommandError as error:
        return error


def test_a_guest_may_not_follow_the_game(game: Any) -> None:
    assert game.made({"slug": "red"}, Identity("guest:1", "Guest")).may_subscribe() is False
