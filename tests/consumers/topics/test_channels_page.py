"""The page `docs/channels.md`: its chat works as it is written."""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.urls import path

import realtime
from harness.waiting import eventually
from realtime.engine.engine import Engine
from realtime.topics.registry import registry

PAGE = (Path(realtime.__file__).parent.parent / "docs/channels.md").read_text()


@pytest.fixture
def consumers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module of the page, in a package that is made from its text."""
    for name, code in re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with registry.isolated():
        yield importlib.import_module("chat.consumers")
    for module in [name for name in sys.modules if name.split(".")[0] == "chat"]:
        del sys.modules[module]


async def test_the_chat_of_the_tutorial_works_with_three_lines_changed(
    engine: Engine, consumers: Any
) -> None:
    """Two pages in one room get each message as the page says; one in another room gets none."""
    application = URLRouter([path("ws/<room_name>/", consumers.ChatConsumer.as_asgi())])
    pages = [WebsocketCommunicator(application, f"/ws/{room}/") for room in ("lobby", "lobby", "x")]
    for page in pages:
        assert (await page.connect())[0]
    topic, other = [await engine.hub.open_topic(f"chat/{room}") for room in ("lobby", "x")]
    await eventually(lambda: len(topic.members) == 2 and len(other.members) == 1)
    await pages[0].send_json_to({"message": "hello"})
    [told] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    for page in pages[:2]:
        assert await page.receive_json_from(timeout=10) == json.loads(told)
    assert await pages[2].receive_nothing()
    for page in pages:
        await page.disconnect()
    await eventually(lambda: not topic.members and not engine.connections)


def test_no_more_than_three_lines_are_changed() -> None:
    """Each is marked with its former text."""
    [consumer] = re.findall(r"```python\n# chat/consumers.py\n(.*?)```", PAGE, re.DOTALL)
    changed = [line for line in consumer.splitlines() if "#" in line]
    assert len(changed) == 3
    assert all("group_" in line for line in changed)
