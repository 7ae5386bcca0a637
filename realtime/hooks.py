"""What a site does with messages and rooms beside the package: one class, replaced by `HOOKS`.

    class ChatHooks(Hooks):
        def before_message(self, message):
            if "casino" in message.content.lower():
                raise CommandError(ErrorCode.PERMISSION_DENIED, "No advertising here.")

The policy decides who may do something. A hook decides what may be said, and hears what was.
docs/hooks.md has an example for each.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, NamedTuple

import msgspec
from django.utils.module_loading import import_string

from .conf import config
from .wire.clean import clean_data
from .wire.decoder import invalid
from .wire.events import MessageState

__all__ = ["Hooks", "NewMessage", "StoredMessage", "hooks"]

Fields = type[msgspec.Struct]


@dataclass(slots=True)
class NewMessage:
    """A message before it is stored; a hook may set `content` and `data`.

    `user` is the user's row; None for a guest, and for the site itself. `is_pushed` says whether it
    comes from the site's code (`push`).
    """

    room: str
    """The slug of the room."""
    room_id: int
    content: str
    data: dict[str, Any] | None
    user_id: str
    """The `user_id` of the protocol."""
    username: str
    user: Any = field(default=None, repr=False)
    address: str = field(default="", repr=False)
    is_pushed: bool = False


class StoredMessage(NamedTuple):
    """A message that was stored for the first time."""

    room: str
    """The slug of the room."""
    room_id: int
    message: MessageState


class Hooks:
    """The hooks of a site; subclass it, and override what you need.

    There is one instance in a process, which serves many threads, so it keeps nothing. Methods may
    be async.
    """

    message_data: ClassVar[Fields | Mapping[str, Fields] | None] = None
    """The fields that `data` of a message may have: a msgspec struct, or one for each kind of
    room. It is not asked for messages without `data`."""
    accepts_unchecked: ClassVar[bool] = False
    """Whether a message is stored as it was sent if `before_message` fails or takes too long."""

    is_overridden: ClassVar[frozenset[str]] = frozenset()
    """The names of the methods that a subclass has overridden."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        names = (name for name, one in vars(Hooks).items() if inspect.isfunction(one))
        own = {name for name in names if getattr(cls, name) is not getattr(Hooks, name)}
        cls.is_overridden = frozenset(own)

    def before_message(self, message: NewMessage) -> Any:
        """Change a message that is about to be stored, or raise `CommandError` to refuse it."""

    def messages_stored(self, messages: Sequence[StoredMessage]) -> Any:
        """Act on new messages after their commit, at most 500 of them, in the order of a room."""

    def room_occupied(self, room: str) -> Any:
        """Act on the first connection in a room, over all processes; `room` is its slug."""

    def room_vacated(self, room: str) -> Any:
        """Act on a room whose last connection has left."""

    def topic_occupied(self, topic: str) -> Any:
        """Act on the first subscriber of a topic that has `presence`, over all processes."""

    def topic_vacated(self, topic: str) -> Any:
        """Act on a topic that has `presence`, and whose last subscriber has left."""

    @property
    def checks_messages(self) -> bool:
        """Whether messages are checked before they are stored."""
        return self.message_data is not None or "before_message" in self.is_overridden

    @property
    def hears_messages(self) -> bool:
        """Whether new messages are told to `messages_stored`."""
        return "messages_stored" in self.is_overridden

    @property
    def hears_rooms(self) -> bool:
        """Whether occupied and vacated rooms are told."""
        return not self.is_overridden.isdisjoint({"room_occupied", "room_vacated"})

    @property
    def hears_topics(self) -> bool:
        """Whether occupied and vacated topics are told."""
        return not self.is_overridden.isdisjoint({"topic_occupied", "topic_vacated"})

    def fields_of(self, kind: str) -> Fields | None:
        """Return the struct for `data` in a kind of room; None if there is no rule."""
        if isinstance(self.message_data, Mapping):
            return self.message_data.get(kind)
        return self.message_data

    def converted(self, data: dict[str, Any] | None, kind: str) -> dict[str, Any] | None:
        """Return data with the fields of its struct alone; raise `CommandError` with the path."""
        struct = self.fields_of(kind)
        if data is None or struct is None:
            return data
        try:
            found = msgspec.to_builtins(msgspec.convert(data, struct), str_keys=True)
        except msgspec.ValidationError as error:
            raise invalid(error, "data") from None
        clean_data(found)
        return dict(found)


def hooks() -> Hooks:
    """Return the hooks of the site."""
    return _made(config().hooks)


@cache
def _made(name: str) -> Hooks:
    made: Hooks = import_string(name)()
    return made
