"""What the site's code has published: messages of rooms, and events of topics.

What waits for its position is included, because the transaction of a `TestCase` never commits.
"""

from typing import Any, NamedTuple, TypeVar, overload

import msgspec
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured

from ..models import Entry, Message, Pending, Room
from ..store.database.alias import database
from ..store.messages.history import state_of
from ..topics import Event, Topic
from ..topics.encoding import event_of
from ..wire.events import MessageState, timestamp
from .encoding import plain

__all__ = ["aassert_published", "apublished", "assert_published", "published"]

WAITS = 0
"""The `id` and `seq` of a message that has no position yet."""
HINT = "Inside of a transaction, what runs on its commit needs `committing`."

E = TypeVar("E", bound=Event)


class Found(NamedTuple):
    """A published event, with its key if it is the value of one."""

    name: str
    key: str | None
    text: str


@overload
def published(of: Topic) -> list[Event]: ...
@overload
def published(of: Room | str) -> list[MessageState]: ...
def published(of: Topic | Room | str) -> list[Event] | list[MessageState]:
    """Return the events of a topic, or the messages of a room, in their order.

    A room is given as a row or by its slug. The value of a key is an event; deleted ones are left
    out. A message without a position has the `seq` 0. Raises `ImproperlyConfigured` for a topic
    that stores nothing.
    """
    if isinstance(of, Topic):
        return [_event(of, found) for found in _entries(of)]
    return _messages(of)


@overload
def assert_published(of: Topic, event: E) -> E: ...
@overload
def assert_published(of: Topic, event: type[E], **fields: Any) -> E: ...
@overload
def assert_published(of: Room | str, **fields: Any) -> MessageState: ...
def assert_published(of: Any, event: Any = None, **fields: Any) -> Any:
    """Return the newest event or message that fits; fail, and show those that there are.

    For a topic, give the event, or its class and some fields; for a room, fields of the message.
    """
    found, wanted = published(of), plain(fields)
    for one in reversed(found):
        if _fits(one, event, wanted):
            return one
    raise AssertionError(_missing(of, event, fields, found))


async def apublished(of: Any) -> Any:
    """Return the events of a topic, or the messages of a room."""
    return await sync_to_async(published)(of)


async def aassert_published(of: Any, event: Any = None, **fields: Any) -> Any:
    """Return the newest event or message that fits."""
    given = () if event is None else (event,)
    return await sync_to_async(assert_published)(of, *given, **fields)


def _fits(one: Any, event: Any, wanted: dict[str, Any]) -> bool:
    if isinstance(event, Event):
        return type(one) is type(event) and plain(one) == plain(event)
    if event is not None and type(one) is not event:
        return False
    has_all = all(hasattr(one, name) for name in wanted)
    return has_all and all(plain(getattr(one, name)) == value for name, value in wanted.items())


def _missing(of: Any, event: Any, fields: dict[str, Any], found: list[Any]) -> str:
    what = "message" if event is None else getattr(event, "__name__", repr(event))
    parts = f"{what} with {fields}" if fields else what
    head = f"No {parts} was published in {getattr(of, 'name', of)}."
    if not found:
        return f"{head} Nothing was. {HINT}"
    return "\n".join([f"{head} There are:", *(f"  {one!r}" for one in found)])


def _entries(topic: Topic) -> list[Found]:
    """Return the numbered entries of a topic, and then those that wait."""
    if topic.keep is None:
        fault = f"{type(topic).__qualname__} stores nothing"
        raise ImproperlyConfigured(f"{fault}: connect a client that subscribes, and use `next`.")
    numbered = Entry.objects.using(database()).filter(log__name=topic.name, is_deleted=False)
    found = [
        Found(*row) for row in numbered.order_by("changed_seq").values_list("type", "key", "data")
    ]
    waiting = Pending.objects.using(database()).filter(topic=topic.name).order_by("pk")
    for row in waiting.exclude(kind=Pending.Kind.RIGHTS):
        if row.key is not None:
            found = [one for one in found if one.key != row.key]
        if row.kind != Pending.Kind.DELETE:
            found.append(Found(row.type, row.key, row.data))
    return found


def _event(topic: Topic, found: Found) -> Event:
    struct = topic.event_named(found.name)
    if struct is None:
        raise ValueError(f"{type(topic).__qualname__} lists no event {found.name!r} any more.")
    return event_of(found.text, struct)


def _messages(room: Room | str) -> list[MessageState]:
    slug = room if isinstance(room, str) else room.slug
    rows = Message.objects.using(database()).filter(room__slug=slug).order_by("seq")
    rooms = Room.objects.using(database()).filter(slug=slug).values("pk")
    waiting = Pending.objects.using(database()).filter(room_id__in=rooms).order_by("pk")
    return [*map(state_of, rows), *map(_waiting, waiting.filter(kind=Pending.Kind.MESSAGE))]


def _waiting(row: Pending) -> MessageState:
    draft = msgspec.json.decode(row.data)
    return MessageState(
        id=WAITS,
        seq=WAITS,
        user_id=row.sender,
        username=draft["username"],
        created_at=timestamp(row.created_at),
        nonce=row.nonce,
        content=draft["content"],
        data=draft.get("data"),
    )
