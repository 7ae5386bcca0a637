"""Lose notes on their way to the server process of a test, as a channel layer may."""

from collections.abc import Callable
from typing import Any

from ..engine.engine import Engine

__all__ = ["lose_layer_messages"]

KEPT = {"publish_presence"}
"""Published by the engine itself, for its own clients."""


def lose_layer_messages(number: int) -> None:
    """Lose the next notes that the site's code publishes to the clients of this test.

    It is as if another process had published them, and the channel layer had dropped them: what is
    stored arrives later, from the database; what is not stored does not arrive. Call it in the
    event loop of an open client. Commands of clients of the same process need no channel layer.
    """
    engine = Engine.here()
    if engine is None:
        raise RuntimeError("No client is connected: call it inside of `async with connect(…)`.")
    hub: Any = engine.hub
    if not isinstance(hub, _LossyHub):
        hub = _LossyHub(hub)
        engine.hub = hub
    hub.left += number


class _LossyHub:
    """A hub that loses some of what is published from outside of it."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self.left = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._hub, name)
        if name.startswith("publish") and name not in KEPT:
            return self._losing(found)
        return found

    def _losing(self, publish: Callable[..., None]) -> Callable[..., None]:
        def lose_or_publish(*args: Any) -> None:
            if not self.left:
                publish(*args)
                return
            self.left -= 1
            for sent in args[2:]:  # the layer has taken it
                sent(True)

        return lose_or_publish
