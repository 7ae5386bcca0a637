"""The surface of the made-up site, which no other test sees."""

import sys
from collections.abc import Iterator
from importlib import import_module

import pytest

from realtime.consumers import ChatConsumer
from realtime.schema.surface import Surface
from realtime.topics.registry import registry


@pytest.fixture
def surface() -> Iterator[Surface]:
    with registry.isolated():
        site = import_module("tests.schema.site")
        paths = {ChatConsumer: {"/ws/"}, site.GameConsumer: {"/ws/game/", "/ws/old/"}}
        paths[site.EchoConsumer] = {"/ws/echo/"}
        yield Surface.of(paths, [site.OrderTopic, site.OddTopic])
    sys.modules.pop("tests.schema.site")
