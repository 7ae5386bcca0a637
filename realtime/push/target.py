"""What can be sent to every kind of target."""

from typing import Any

from asgiref.sync import sync_to_async
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from ..engine.bus.handover import Handover
from ..engine.bus.notes import Broadcast, Close, Direct, Note
from ..engine.notify import hand_over_on_commit
from ..store.messages.plain import plain
from ..wire.codecs import Frame
from ..wire.errors import REASONS, CloseCode, CommandError, ErrorCode
from ..wire.events import Notice, Outgoing, SignalEvent

__all__ = ["Target", "text_of"]

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
        return self._send_event(Notice(level=level, text=text_of(text)), using)

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
        text = _english(code) if reason is None else text_of(reason)
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


def text_of(text: object) -> str:
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
