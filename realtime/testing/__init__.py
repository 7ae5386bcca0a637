"""Support for the tests of a site: clients of its sockets in the process of the test.

    async with connect(user) as client:
        await client.join("general")
        await client.message("general", "hi")

docs/testing.md describes all of it.
"""

from .client import Client, Refused, connect
from .clock import Clock, clock
from .commits import committing
from .layer import lose_layer_messages
from .published import aassert_published, apublished, assert_published, published
from .running import engine
from .waiting import NotArrived

__all__ = [
    "Client",
    "Clock",
    "NotArrived",
    "Refused",
    "aassert_published",
    "apublished",
    "assert_published",
    "clock",
    "committing",
    "connect",
    "engine",
    "lose_layer_messages",
    "published",
]
