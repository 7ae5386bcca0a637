"""Telling every process something, from any thread of any process of the site."""

from collections.abc import Callable

from django.db import connections, transaction
from django.dispatch import receiver

from ..signals import rights_changed, site_sanctions_changed
from ..store import history
from ..store.log import Stored
from ..wire.codecs import Frame
from ..wire.events import Outgoing
from .engine import EVERYONE, Engine, user_topic
from .event import Event
from .layer import Note
from .publisher import publisher
from .topic import room_topic

__all__ = ["announce", "look", "look_everywhere", "on_commit", "say", "tell"]


def on_commit(action: Callable[[], object], alias: str | None = None) -> None:
    """Do something once what is written is certain, and not at all where it is taken back.

    `alias` is the database that is written, by default our own.
    """
    alias = alias or history.database()
    if connections[alias].in_atomic_block:
        transaction.on_commit(action, using=alias, robust=True)
    else:
        action()


def tell(topic: str, note: Note, *, is_stored: bool = False) -> None:
    """Tell a topic now; with `is_stored` its processes find out by themselves, only later.

    Raises `LayerUnavailable` where it is not stored, and this process can reach no other.
    """
    engine = Engine.running()
    if engine is not None:
        engine.loop.call_soon_threadsafe(engine.hub.publish, topic, note)
        return
    publisher.publish(topic, note, is_stored=is_stored)


def say(topic: str, outgoing: Outgoing) -> None:
    """Tell the members of a topic something that is not stored, once all is committed."""
    note = ["say", Frame.of(outgoing).text, ""]
    on_commit(lambda: tell(topic, note, is_stored=True))


def look(user_id: str, kind: str, which: str = "", *, alias: str | None = None) -> None:
    """Have all processes look at a user's connections, as `Guard.hear` says, after the commit."""
    on_commit(lambda: tell(user_topic(user_id), ["look", kind, which], is_stored=True), alias)


def look_everywhere(kind: str, which: str = "") -> None:
    """The same with everybody's."""
    on_commit(lambda: tell(EVERYONE, ["look", kind, which], is_stored=True))


def announce(slug: str, stored: Stored) -> None:
    """Tell a room of a message that is committed."""
    engine = Engine.running()
    if engine is not None:
        engine.loop.call_soon_threadsafe(engine.hub.announce, slug, stored)
        return
    event = Event.of_state(slug, stored.state)
    # Whoever is not reached finds it in the database within a pulse.
    publisher.publish(room_topic(stored.room_id), event.note(stored.epoch), is_stored=True)


@receiver(rights_changed, dispatch_uid="realtime.tell.rights")
def _rights_changed(rooms: dict[int, int], user_id: str, **_: object) -> None:
    def tell_rooms() -> None:
        for room_id, seq in rooms.items():
            tell(room_topic(room_id), ["rights", user_id, seq], is_stored=True)

    on_commit(tell_rooms)


@receiver(site_sanctions_changed, dispatch_uid="realtime.tell.sanctions")
def _site_sanctions_changed(user_id: str, **_: object) -> None:
    look_everywhere("site")  # for who is about to come
    if user_id:
        look(user_id, "sanction")
    else:
        look_everywhere("sanction")
