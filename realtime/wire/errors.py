"""Every error code and close code of the protocol, and the exceptions that carry them.

RealtimeError
├── CommandError   an `error` reply; the connection stays
└── Disconnect     a `disconnect` event, then the socket closes
"""

from enum import IntEnum, StrEnum

__all__ = ["CloseCode", "CommandError", "Disconnect", "ErrorCode", "RealtimeError"]


class ErrorCode(StrEnum):
    """What an `error` reply may say."""

    INVALID_JSON = "invalid_json"
    INVALID_MESSAGE = "invalid_message"
    UNKNOWN_TYPE = "unknown_type"
    TOO_LARGE = "too_large"
    NOT_AUTHENTICATED = "not_authenticated"
    PERMISSION_DENIED = "permission_denied"
    UNKNOWN_ROOM = "unknown_room"
    UNKNOWN_USER = "unknown_user"
    UNKNOWN_MESSAGE = "unknown_message"
    NOT_JOINED = "not_joined"
    RATE_LIMITED = "rate_limited"
    LIMIT_EXCEEDED = "limit_exceeded"
    UNAVAILABLE = "unavailable"
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


REASONS = {
    CloseCode.SHUTDOWN: "The server is restarting.",
    CloseCode.EXPIRED: "The session ended.",
    CloseCode.SLOW: "The connection reads too slowly.",
    CloseCode.SILENT: "Nothing was heard from the connection.",
    CloseCode.INTERNAL: "An unexpected error on the server.",
    CloseCode.AT_CAPACITY: "The server has no room for another connection.",
    CloseCode.CROWDED: "Too many connections of this user or address.",
    CloseCode.RATE_LIMITED: "Too many commands.",
    CloseCode.UNAUTHENTICATED: "Sign in first.",
    CloseCode.KICKED: "An administrator ended the connection.",
    CloseCode.TOO_MANY_ERRORS: "Too many bad frames in a row.",
}


class RealtimeError(Exception):
    """Anything the protocol can tell a client."""


class CommandError(RealtimeError):
    """One command failed; the connection stays.

    `code` is an `ErrorCode`, `message` a sentence for people, `room` the slug it is about,
    `retry_after` seconds, `ref` the failed command's own.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        room: str | None = None,
        ref: str | int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.room = room
        self.ref = ref
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        """Whether the same command may succeed later."""
        return self.code in RETRYABLE

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Disconnect(RealtimeError):  # noqa: N818
    """The connection ends with `code` after an in-band `disconnect`.

    `code` is a `CloseCode`, or an application's own from 4400-4499 (reconnect) or
    4900-4999 (terminal); `retry_after` is in seconds.
    """

    def __init__(
        self, code: int, reason: str | None = None, *, retry_after: float | None = None
    ) -> None:
        super().__init__(code)
        self.code = int(code)
        self.reason = REASONS.get(code, "") if reason is None else reason  # type: ignore[call-overload]
        self.retry_after = retry_after

    @property
    def reconnect(self) -> bool:
        """Whether the client should come back."""
        return self.code < 4500

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"
