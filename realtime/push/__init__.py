"""Send to rooms, users and connections from any code: views, signals, jobs, a shell.

    push.room("general").message("The build is green.", username="CI")
    push.user(request.user).send({"unread": 3})
    push.connection("9d6c58e6bec3.1").disconnect()
    await push.everyone().anotice("Back in five minutes.", level="warning")
    answer = await push.connection("9d6c58e6bec3.1").ask(Confirm(text="Delete it?"), timeout=20)

Inside a transaction of the package's database everything is sent after its commit, and nothing
after a rollback. `using` names another database whose transaction must commit as well.

A message is stored and always delivered. Everything else is sent once: an unavailable channel layer
raises nothing; the `Handover` that each call returns says whether the layer has accepted it.
"""

from typing import Any

from ..engine.bus.handover import Handover
from ..engine.bus.publisher import LayerUnavailable
from ..engine.engine import EVERYONE, user_topic
from ..models import Room
from .clients import ClientTarget
from .questions import ConnectionTarget
from .rooms import RoomTarget
from .target import Target

__all__ = [
    "ClientTarget",
    "ConnectionTarget",
    "Handover",
    "LayerUnavailable",
    "RoomTarget",
    "Target",
    "connection",
    "everyone",
    "room",
    "user",
]


def room(room: Room | str) -> RoomTarget:
    """Return the target for all clients in a room, which is given as a row or by its slug.

    Sending to a room that does not exist raises `Room.DoesNotExist`.
    """
    return RoomTarget(room)


def user(user: Any) -> ClientTarget:
    """Return the target for a user, given as such or by primary key, or a guest by `user_id`."""
    return ClientTarget(user_topic(str(getattr(user, "pk", user))))


def connection(connection: str) -> ConnectionTarget:
    """Return the target for one connection, by its id."""
    node, _, number = connection.partition(".")
    if not node or not number:
        raise ValueError(f"{connection!r} is not the id of a connection")
    return ConnectionTarget(f"node.{node}", connection)


def everyone() -> Target:
    """Return the target for all connections of the site."""
    return Target(EVERYONE)
