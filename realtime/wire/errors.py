"""Every error code and close code of the protocol, and the exceptions that carry them.

`realtime.errors` is the public name of this module.

ProtocolError
├── CommandError   an `error` reply; the connection stays
└── Disconnect     a `disconnect` event, then the socket closes
"""

from enum import IntEnum, StrEnum

from .text import Text as _

__all__ = ["CloseCode", "CommandError", "Disconnect", "ErrorCode", "ProtocolError", "refusal_of"]


class ErrorCode(StrEnum):
    """The codes of `error` replies."""

    INVALID_JSON = "invalid_json"
    INVALID_MESSAGE = "invalid_message"
    UNKNOWN_TYPE = "unknown_type"
    TOO_LARGE = "too_large"
    NOT_AUTHENTICATED = "not_authenticated"
    PERMISSION_DENIED = "permission_denied"
    UNKNOWN_ROOM = "unknown_room"
    UNKNOWN_TOPIC = "unknown_topic"
    UNKNOWN_USER = "unknown_user"
    UNKNOWN_MESSAGE = "unknown_message"
    NOT_JOINED = "not_joined"
    RATE_LIMITED = "rate_limited"
    LIMIT_EXCEEDED = "limit_exceeded"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"
    INVALID_SIGNATURE = "invalid_signature"
    SIGNATURE_EXPIRED = "signature_expired"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    INTERNAL = "internal"


RETRYABLE = frozenset({ErrorCode.RATE_LIMITED, ErrorCode.UNAVAILABLE, ErrorCode.TOKEN_EXPIRED})


class CloseCode(IntEnum):
    """Why the server closed; below 4500 a client reconnects, from 4500 on it does not."""

    SHUTDOWN = 4001
    EXPIRED = 4005
    SLOW = 4008
    SILENT = 4009
    INTERNAL = 4011
    AT_CAPACITY = 4013
    CROWDED = 4014
    RATE_LIMITED = 4029
    UNAUTHENTICATED = 4500
    KICKED = 4503
    TOO_MANY_ERRORS = 4511


CLOSE_CODES = frozenset(CloseCode)
REASONS: dict[int, _] = {
    CloseCode.SHUTDOWN: _("The server is restarting."),
    CloseCode.EXPIRED: _("The session ended."),
    CloseCode.SLOW: _("The connection reads too slowly."),
    CloseCode.SILENT: _("The connection was silent for too long."),
    CloseCode.INTERNAL: _("There was an unexpected error on the server."),
    CloseCode.AT_CAPACITY: _("The server has no room for another connection."),
    CloseCode.CROWDED: _("There are too many connections of this user or address."),
    CloseCode.RATE_LIMITED: _("The connection sent too many commands."),
    CloseCode.UNAUTHENTICATED: _("Sign in first."),
    CloseCode.KICKED: _("An administrator ended the connection."),
    CloseCode.TOO_MANY_ERRORS: _("The connection sent too many bad frames in a row."),
}


class ProtocolError(Exception):
    """An error that the protocol reports to a client."""

    code: object
    text: object
    """The sentence for people as it was given, to be translated."""

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


class CommandError(ProtocolError):
    """One command failed; the connection stays.

    `code` is an `ErrorCode`, or a code of the site's own, such as "sold_out". `message` is a
    sentence for people: a string, or one that is translated when it is read, such as Django's lazy
    translations. `room` is the slug of the room concerned, `topic` the name of the topic, and
    `path` that of a wrong field, such as `data.seat`. `retry_after` is in seconds, and `ref` is the
    `ref` of the failed command. `outcome` is "unknown" if the command may have been executed.
    """

    def __init__(
        self,
        code: ErrorCode | str,
        message: object,
        *,
        room: str | None = None,
        topic: str | None = None,
        path: str | None = None,
        outcome: str | None = None,
        ref: str | int | None = None,
        retry_after: float | None = None,
    ) -> None:
        if not isinstance(code, str) or not code:
            raise TypeError(f"the code of a CommandError is an ErrorCode or a text, not {code!r}")
        super().__init__(code, message)
        self.code: ErrorCode | str = code
        self.text = message
        self.room = room
        self.topic = topic
        self.path = path
        self.outcome = outcome
        self.ref = ref
        self.retry_after = retry_after

    @property
    def message(self) -> str:
        """The message as a string, in the active language if it is translated."""
        return str(self.text)

    @message.setter
    def message(self, message: object) -> None:
        self.text = message

    @property
    def retryable(self) -> bool:
        """Whether the same command may succeed later."""
        return self.code in RETRYABLE


def refusal_of(error: BaseException, otherwise: object) -> CommandError:
    """Return the error if it refuses a command, else `unavailable` with another sentence."""
    if isinstance(error, CommandError):
        return error
    return CommandError(ErrorCode.UNAVAILABLE, otherwise, retry_after=1)


class Disconnect(ProtocolError):  # noqa: N818
    """The connection ends with `code`, after a `disconnect` event.

    `code` is a `CloseCode`, or an application's own from 4400-4499 (reconnect) or
    4900-4999 (terminal). `reason` is a sentence as in `CommandError`, by default that of the code.
    `retry_after` is in seconds.
    """

    def __init__(
        self, code: int, reason: object = None, *, retry_after: float | None = None
    ) -> None:
        super().__init__(code)
        self.code: int = int(code)
        self.text = _reason(code, reason)
        self.retry_after = retry_after

    @property
    def reason(self) -> str:
        """The reason as a string, in the active language if it is translated."""
        return str(self.text)

    @reason.setter
    def reason(self, reason: object) -> None:
        self.text = reason

    @property
    def reconnect(self) -> bool:
        """Whether the client should come back."""
        return self.code < 4500


def _reason(code: int, reason: object) -> object:
    """Return the reason for a code; a lazy translation is not evaluated here, as it may fail."""
    default = REASONS.get(code)
    if default is None:
        return "" if reason is None else reason
    # Between processes, the reason of a code is the English string.
    is_default = reason is None or (isinstance(reason, str) and reason == default.english)
    return default if is_default else reason
