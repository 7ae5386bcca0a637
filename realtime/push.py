"""Send to rooms, users and connections from anywhere: views, signals, jobs, a shell.

    push.room("general").message("The build is green.", username="CI")
    push.user(request.user).send({"unread": 3})
    push.connection("9d6c58e6bec3.1").disconnect()
    await push.everyone().anotice("Back in five minutes.", level="warning")

Inside a transaction of the package's database everything goes out when that commits, and not at
all if it does not. `using` names another database whose transaction decides as well.

A message is stored and always arrives. The rest is sent once: nothing raises where the channel
layer is away, and the `Handover` that each call returns says whether it was handed over.
"""

from functools import cache
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from .engine.bus.handover import Handover
from .engine.bus.notes import Broadcast, Close, Direct, Note
from .engine.bus.publisher import LayerUnavailable
from .engine.delivery.topic import room_topic
from .engine.engine import EVERYONE, user_topic
from .engine.notify import hand_over, is_in_transaction, on_commit
from .logs import get_logger
from .models import Message, Room
from .store.database.alias import database
from .store.database.servers import on_working_server
from .store.messages.log import Stored
from .store.messages.plain import plain
from .store.messages.posting import draft_of, post, row_of
from .store.rooms.access import room_id_of
from .wire.codecs import Frame
from .wire.errors import CloseCode, CommandError, Disconnect, ErrorCode
from .wire.events import Notice, Outgoing, SignalEvent

__all__ = ["Handover", "LayerUnavailable", "Target", "connection", "everyone", "room", "user"]

MAX_BYTES = 64 * 1024
LEVELS = ("info", "warning", "error")
logger = get_logger("realtime.push")


class Target:
    """Somebody to send to. Each method has an async twin whose name starts with `a`."""

    slug: str | None = None

    def __init__(self, topic: str, connection: str = "") -> None:
        self._topic = topic
        self._connection = connection

    def send(self, data: dict[str, Any], *, using: str | None = None) -> Handover:
        """Send a `signal` with `data`, which is not stored.

        `data` is a dict of what Django's `JsonResponse` takes. Raises `CommandError` for what
        JSON cannot say everywhere.
        """
        return self._say(SignalEvent(data=plain(data), room=self.slug), using)

    async def asend(self, data: dict[str, Any], *, using: str | None = None) -> Handover:
        """Send a `signal`."""
        handover = await sync_to_async(self.send)(data, using=using)
        return await handover.settled()

    def notice(self, text: str, level: str = "info", *, using: str | None = None) -> Handover:
        """Show a text from an administrator; `level` is info, warning or error."""
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, not {level!r}")
        return self._say(Notice(level=level, text=_text(text)), using)

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
        """End the connections; below 4500 clients come back, from there on they do not."""
        if not 4000 <= code <= 4999:
            raise ValueError(f"code must be within 4000 and 4999, not {code}")
        end = Disconnect(code, None if reason is None else _text(reason))
        return self._tell(Close(end.code, end.reason, self._connection), using)

    async def adisconnect(
        self,
        reason: str | None = None,
        code: int = CloseCode.KICKED,
        *,
        using: str | None = None,
    ) -> Handover:
        """End the connections."""
        handover = await sync_to_async(self.disconnect)(reason, code, using=using)
        return await handover.settled()

    def _say(self, outgoing: Outgoing, using: str | None) -> Handover:
        text = Frame.of(outgoing).text
        one = self._connection
        return self._tell(Direct(text, one) if one else Broadcast(text, ""), using)

    def _tell(self, note: Note, using: str | None) -> Handover:
        handover = Handover()
        topic = self._topic
        on_commit(lambda: handover.follow(hand_over(topic, note)), *_databases(using))
        return handover


class RoomTarget(Target):
    """Everybody in a room."""

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
        """Store a message and tell the room.

        It comes from `user`, else from the site itself under the name `username`. The same
        `nonce` twice is one message. Returns it, or None inside a transaction: then it is
        stored after that commits, in a transaction of its own, so that the room is not
        locked meanwhile. `data` is a dict of what Django's `JsonResponse` takes. Raises what
        the database raises, and `CommandError` for `data` that JSON cannot say everywhere or a
        text of more than 64 KiB.
        """
        content, username = _text(content), _text(username)
        data = None if data is None else plain(data)
        room = self._find(), str(self.slug)
        draft = draft_of(room, content, user=user, username=username, nonce=nonce, data=data)
        stored: list[Stored] = []
        on_commit(lambda: stored.append(post(draft)), *_databases(using))
        return row_of(draft, stored[0].state) if stored else None

    async def amessage(self, content: str, **kwargs: Any) -> Message | None:
        """Store a message and tell the room."""
        return await sync_to_async(self.message)(content, **kwargs)

    def _tell(self, note: Note, using: str | None) -> Handover:
        self._topic = room_topic(self._find())
        return super()._tell(note, using)

    @on_working_server
    def _find(self) -> int:
        # Only now: the caller of an async twin cannot ask the database.
        if self._room_id is None:
            self._room_id = room_id_of(str(self.slug))
        return self._room_id


def room(room: Room | str) -> RoomTarget:
    """Everybody in a room, given as such or by its slug.

    What is sent to a room that does not exist raises `Room.DoesNotExist`.
    """
    return RoomTarget(room)


def user(user: Any) -> Target:
    """All connections of a user, given as such or by its primary key; a guest by its `user_id`."""
    return Target(user_topic(str(getattr(user, "pk", user))))


def connection(connection: str) -> Target:
    """One connection by its id."""
    node, _, number = connection.partition(".")
    if not node or not number:
        raise ValueError(f"{connection!r} is not the id of a connection")
    return Target(f"node.{node}", connection)


def everyone() -> Target:
    """All connections of the whole site."""
    return Target(EVERYONE)


def _text(text: object) -> str:
    """Return a text as a string, as a lazy translation is none."""
    plain_text = str(text)
    if len(plain_text.encode(errors="surrogatepass")) > MAX_BYTES:
        message = format_lazy(_("A text may have at most {number} bytes."), number=MAX_BYTES)
        raise CommandError(ErrorCode.TOO_LARGE, message)
    return plain_text


def _databases(using: str | None) -> set[str]:
    """Return the aliases of the databases whose transactions decide."""
    ours = database()
    if using is None and not is_in_transaction(ours):
        _warn_of_other_transactions(ours)
    return {ours, using or ours}


def _warn_of_other_transactions(ours: str) -> None:
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            _warn_once(connection.alias, ours)


@cache
def _warn_once(alias: str, ours: str) -> None:
    logger.warning(
        "a push inside a transaction of database %s went out at once, because it waits for "
        "transactions of %s only: pass using=%r to have it wait for both",
        alias,
        ours,
        alias,
    )
