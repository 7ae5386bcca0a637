"""The page that compares three ways to write one game shows and counts what is here."""

import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User

from realtime.engine.engine import Engine
from realtime.store.accounts.identity import Identity
from realtime.testing import connect
from realtime.topics.registry import registry
from tests.consumers.conftest import database, engine, room, sqlite_url
from tests.game import rules
from tests.game.scenario import NAMES, STEPS, enveloped, play
from tests.game.stock import GameConsumer

__all__ = ["database", "engine", "room", "sqlite_url"]

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


async def test_the_game_is_played_with_a_topic(game: Any, engine: Engine) -> None:
    """The same steps and errors; all get the new state, and a player who comes back as well."""
    create = get_user_model().objects.acreate_user
    async with AsyncExitStack() as stack:
        sockets = {
            name: await stack.enter_async_context(connect(await create(name))) for name in NAMES
        }
        for socket in sockets.values():
            await socket.subscribe("game/red")
        for name, step, error in STEPS:
            fields = {key: value for key, value in step.items() if key != "action"}
            told = await sockets[name].ask(
                "call", topic="game/red", name=step["action"], data=fields
            )
            if error is not None:
                wrong = "name" if error == "action" else f"data.{error}"
                assert told["type"] == "error", (step, told)
                assert (told["message"] == error) != (told.get("path") == wrong), (step, told)
                continue
            assert told["type"] == "result", (step, told)
            for one in sockets.values():
                assert (await one.next("event", name="state"))["data"] == told["data"]
    async with connect(await get_user_model().objects.aget(username="ada")) as socket:
        subscribed = await socket.subscribe("game/red")
        [entry] = subscribed["entries"]
        assert entry["data"] == {"players": ["ada"], "cells": [""] * 9, "turn": "ada"}


def test_a_guest_may_not_follow_the_game(game: Any) -> None:
    assert game.made({"slug": "red"}, Identity("guest:1", "Guest")).may_subscribe() is False
