"""Play the game over sockets, against the consumer of Channels and that of chanx."""

from collections.abc import Callable
from typing import Any

from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.urls import path

from . import rules

__all__ = ["NAMES", "STEPS", "enveloped", "people", "play"]

Step = tuple[str, dict[str, Any], str | None]

NAMES = ("ada", "bob", "eve")
STEPS: list[Step] = [
    ("ada", {"action": "join"}, None),
    ("ada", {"action": "move", "cell": 1}, "Wait for the other player."),
    ("bob", {"action": "join"}, None),
    ("eve", {"action": "join"}, "Two players are in the game already."),
    ("eve", {"action": "move", "cell": 1}, "Join the game first."),
    ("ada", {"action": "move", "cell": 4}, None),
    ("ada", {"action": "move", "cell": 1}, "It is the turn of the other player."),
    ("bob", {"action": "move", "cell": 4}, "cell"),
    ("bob", {"action": "move", "cell": 9}, "cell"),
    ("bob", {"action": "move", "cell": "5"}, "cell"),
    ("bob", {"action": "move", "cell": None}, "cell"),
    ("bob", {"action": "fly"}, "action"),
    ("bob", {"action": "leave"}, None),
]
"""Who does what, and a part of the error that the answer has; None for a new state for all."""


def enveloped(step: dict[str, Any]) -> dict[str, Any]:
    """Return a step in the shape of chanx: the fields are the payload."""
    fields = {name: value for name, value in step.items() if name != "action"}
    return {"action": step["action"], **({"payload": fields} if fields else {})}


def people(user: Any) -> dict[str, Any]:
    """Return three users; `user` is the model, which can be imported only in a site."""
    return {name: user(pk=number, username=name) for number, name in enumerate(NAMES, 1)}


async def play(consumer: Any, users: dict[str, Any], shape: Callable[[Any], Any]) -> int:
    """Play all steps, and end by a lost connection; return the number of steps."""
    rules.games.clear()
    application: Any = URLRouter([path("game/<slug:slug>/", consumer.as_asgi())])
    sockets: dict[str, Any] = {}
    for name, user in users.items():
        sockets[name] = WebsocketCommunicator(application, "/game/red/")
        sockets[name].scope["user"] = user
        assert (await sockets[name].connect(5))[0]
    for name, step, error in STEPS:
        await sockets[name].send_json_to(shape(step))
        told = await sockets[name].receive_json_from(5)
        assert (told["action"] == "error") == (error is not None), (step, told)
        if error is None:
            others = [await sockets[one].receive_json_from(5) for one in users if one != name]
            assert all(state == told for state in others)
        else:
            assert error in str(told), (step, told)
    await sockets["ada"].disconnect()
    await sockets["eve"].receive_json_from(5)
    assert rules.games == {}, rules.games
    for name in ("bob", "eve"):
        await sockets[name].disconnect()
    return len(STEPS)
