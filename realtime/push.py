"""Send to rooms, users and connections from any code: views, signals, jobs, a shell.

    push.room("general").message("The build is green.", username="CI")
    push.user(request.user).send({"unread": 3})
    push.connection("9d6c58e6bec3.1").disconnect()
    await push.everyone().anotice("Back in five minutes.", level="warning")

Inside a transaction of the package's database everything is sent after its commit, and nothing
after a rollback. `using` names another database whose transaction must commit as well.

A message is stored and always delivered. Everything else is sent once: an unavailable channel layer
raises nothing; the `Handover` that each call returns says whether the layer has accepted it.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from .engine.bus.handover import Handover
from .engine.bus.notes import Broadcast, Close, Direct, Note, RoomMove
from .engine.bus.publisher import LayerUnavailable
from .engine.engine import EVERYONE, user_topic
from .engine.notify import hand_over_on_commit
from .hooks import Hooks, NewMessage, hooks
from .models import Message, Room
from .screening import screen_now
from .store.database.alias import database
from .store.database.servers import on_working_server
from .store.database.transactions import is_in_transaction, is_open, on_commit, warn_of_others
from .store.messages.drafts import Draft
from .store.messages.history import room_key
from .store.messages.plain import plain
from .store.outbox.pending import publish_message
from .store.outbox.posting import draft_of, post, row_of
from .store.rooms.access import room_id_of
from .wire.codecs import Frame
from .wire.errors import REASONS, CloseCode, CommandError, ErrorCode
from .wire.events import Notice, Outgoing, SignalEvent

__all__ = [
    "ClientTarget",
    "Handover",
    "LayerUnavailable",
    "Target",
    "connection",
    "everyone",
    "room",
    "user",
]

MAX_BYTES = 64 * 1024
LEVELS = ("info", "warning", "error")


class Target:
    """A room, user or connection, or all. Each method has an async twin with the prefix `a`."""

    slug: str | None = None

    def __init__(self, topic: str, connection: str = "") -> None:
        self._topic = topic
        self._connection = connection

    def send(self, data: dict[str, Any], *, using: str | None = None) -> Handover:
        """Send a `signal` with `data`, which is not stored.

        `data` is a dict of values that `JsonResponse` accepts. Raises `CommandError` for data
        that is not portable JSON.
        """
        return self._send_event(SignalEvent(data=plain(data), room=self.slug), using)

    async def asend(self, data: dict[str, Any], *, using: str | None = None) -> Handover:
        """Send a `signal`."""
        handover = await sync_to_async(self.send)(data, using=using)
        return await handover.settled()

    def notice(self, text: str, level: str = "info", *, using: str | None = None) -> Handover:
        """Show a text from an administrator; `level` is info, warning or error."""
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, not {level!r}")
        return self._send_event(Notice(level=level, text=_text(text)), using)

    async def anotice(
        self, text: str, level: str = "info", *, using: str | None = None
    ) -> Handover:
        """Show a text from an administrator."""
        handover = await sync_to_async(self.notice)(text, level, using=using)
        return await handover.settled()

    def disconnect(
        self,
        reason: str | None = None,
        code: int = CloseCode.KICKED,
        *,
        using: str | None = None,
    ) -> Handover:
        """Close the connections; clients reconnect after codes below 4500 only."""
        if not 4000 <= code <= 4999:
            raise ValueError(f"code must be within 4000 and 4999, not {code}")
        text = _english(code) if reason is None else _text(reason)
        return self._publish(Close(int(code), text, self._connection), using)

    async def adisconnect(
        self,
        reason: str | None = None,
        code: int = CloseCode.KICKED,
        *,
        using: str | None = None,
    ) -> Handover:
        """Close the connections."""
        handover = await sync_to_async(self.disconnect)(reason, code, using=using)
        return await handover.settled()

    def _send_event(self, outgoing: Outgoing, using: str | None) -> Handover:
        text = Frame.of(outgoing).text
        one = self._connection
        return self._publish(Direct(text, one) if one else Broadcast(text, ""), using)

    def _publish(self, note: Note, using: str | None) -> Handover:
        return hand_over_on_commit(self._topic, [note], using)


class ClientTarget(Target):
    """The connections of a user, or one connection."""

    def join(self, room: Room | str, *, using: str | None = None) -> Handover:
        """Have the connections join a room, given as a row or by its slug.

        A client that was not in it gets `joined`, as after a `join` of its own. The rights of the
        user hold: a client that may not join gets nothing. Raises `Room.DoesNotExist`.
        """
        return self._publish(RoomMove(_slug_of(room), True, "", self._connection), using)

    async def ajoin(self, room: Room | str, *, using: str | None = None) -> Handover:
        """Have the connections join a room."""
        handover = await sync_to_async(self.join)(room, using=using)
        return await handover.settled()

    def leave(self, room: Room | str, reason: str = "", *, using: str | None = None) -> Handover:
        """Have the connections leave a room; a client that was in it gets `removed`.

        It keeps its rights, and may join again: `moderation.kick` and `ban` keep a user out.
        """
        move = RoomMove(_slug_of(room), False, _text(reason), self._connection)
        return self._publish(move, using)

    async def aleave(
        self, room: Room | str, reason: str = "", *, using: str | None = None
    ) -> Handover:
        """Have the connections leave a room."""
        handover = await sync_to_async(self.leave)(room, reason, using=using)
        return await handover.settled()


class RoomTarget(Target):
    """All clients in a room."""

    def __init__(self, room: Room | str) -> None:
        super().__init__("")
        self.slug = room if isinstance(room, str) else room.slug
        self._room_id: int | None = None if isinstance(room, str) else room.pk

    def message(
        self,
        content: str,
        *,
        user: Any = None,
        username: str = "",
        data: dict[str, Any] | None = None,
        nonce: str | None = None,
        using: str | None = None,
    ) -> Message | None:
        """Store a message and send it to the room.

        It comes from `user`, else from the site itself under the name `username`. Two calls with
        the same `nonce` store one message. Returns it, or None inside a transaction: then it is
        stored if and only if that commits, and gets its position afterwards, so that the room is
        not locked meanwhile. `data` is a dict of values that `JsonResponse` accepts. Raises what
        the database raises, and `CommandError` for `data` that is not portable JSON, or a
        text of more than 64 KiB.
        """
        content, username = _text(content), _text(username)
        data = None if data is None else plain(data)
        room = self._find(), str(self.slug)
        draft = draft_of(room, content, user=user, username=username, nonce=nonce, data=data)
        if (rules := hooks()).checks_messages:
            _screen(rules, draft, user)
        ours = database()
        if using is not None and using != ours and is_in_transaction(using):
            on_commit(partial(post, draft), ours, using)
            return None
        if using is None:
            warn_of_others(ours)
        if is_open(ours):
            publish_message(draft)
            return None
        return row_of(draft, post(draft).state)

    async def amessage(self, content: str, **kwargs: Any) -> Message | None:
        """Store a message and send it to the room."""
        return await sync_to_async(self.message)(content, **kwargs)

    def _publish(self, note: Note, using: str | None) -> Handover:
        self._topic = room_key(self._find())
        return super()._publish(note, using)

    def _find(self) -> int:
        # Not before: the caller of an async twin cannot query the database.
        if self._room_id is None:
            self._room_id = _room_id_of(str(self.slug))
        return self._room_id


def room(room: Room | str) -> RoomTarget:
    """Return the target for all clients in a room, which is given as a row or by its slug.

    Sending to a room that does not exist raises `Room.DoesNotExist`.
    """
    return RoomTarget(room)


def user(user: Any) -> ClientTarget:
    """Return the target for a user, given as such or by primary key, or a guest by `user_id`."""
    return ClientTarget(user_topic(str(getattr(user, "pk", user))))


def connection(connection: str) -> ClientTarget:
    """Return the target for one connection, by its id."""
    node, _, number = connection.partition(".")
    if not node or not number:
        raise ValueError(f"{connection!r} is not the id of a connection")
    return ClientTarget(f"node.{node}", connection)


def everyone() -> Target:
    """Return the target for all connections of the site."""
    return Target(EVERYONE)


def _screen(rules: Hooks, draft: Draft, user: Any) -> None:
    """Have the site check a message, and change it."""
    kind = _kind_of(draft.room_id) if isinstance(rules.message_data, Mapping) else ""
    message = NewMessage(
        room=draft.slug,
        room_id=draft.room_id,
        content=draft.content,
        data=draft.data,
        user_id=draft.sender,
        username=draft.username,
        user=user,
        is_pushed=True,
    )
    checked = screen_now(rules, message, kind)
    draft.content, draft.data = _text(checked.content), checked.data


@on_working_server
def _kind_of(room_id: int) -> str:
    kinds = Room.objects.using(database()).values_list("kind", flat=True)
    return str(kinds.get(pk=room_id))


def _slug_of(room: Room | str) -> str:
    if isinstance(room, str):
        _room_id_of(room)  # raises for a room that does not exist
        return room
    return room.slug


@on_working_server
def _room_id_of(slug: str) -> int:
    return room_id_of(slug)


def _text(text: object) -> str:
    """Return a text as a string: a lazy translation is not one."""
    plain_text = str.__str__(str(text))  # msgspec encodes no subclass, such as `SafeString`
    if len(plain_text.encode(errors="surrogatepass")) > MAX_BYTES:
        message = format_lazy(_("A text may have at most {number} bytes."), number=MAX_BYTES)
        raise CommandError(ErrorCode.TOO_LARGE, message)
    return plain_text


def _english(code: int) -> str:
    """Return the reason of a close code, which each process translates for its own clients."""
    default = REASONS.get(code)
    return "" if default is None else default.english
