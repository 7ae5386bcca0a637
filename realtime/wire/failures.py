"""The exception for code that requests something from the other side, and its own codes.

`realtime.errors` and `realtime.client` export the same class.
"""

from typing import Final

from .events import Failure

__all__ = ["OWN_CODES", "RealtimeError"]

OWN_CODES: Final = {
    "offline": "There is no connection to the server at the moment.",
    "closed": "The client is closed.",
    "left": "The room or topic was left.",
    "timeout": "The server did not answer in time.",
    "queue_full": "Too many messages wait for the server. Wait until some are acknowledged.",
    "expired": "The message has waited for a day, so it is not sent any more.",
    "identity_changed": "The server takes this client for another user now.",
    "resync": "The part of the log that was asked for was removed, or the log has begun anew.",
    "invalid_frame": "The server sent something that is not part of the protocol.",
    "invalid_event": "An event does not fit the struct that was given for it.",
    "gone": "The connection has ended, or there is none with this id.",
    "no_handler": "The client has no handler for this question.",
    "unsupported": "The other side does not know this command or question.",
    "own_connection": (
        "A command cannot wait for the answer of its own connection, whose next frame is read"
        " after the command. Ask in `self.spawn(…)`, from a command in `async def`."
    ),
    "invalid_answer": "The answer does not fit the struct that was given for it.",
}
"""The codes of those who ask, beside those of the protocol (docs/protocol.md)."""


class RealtimeError(Exception):
    """Something that was asked of the client or server failed.

    Compare `code`: a code of the protocol, or one of `OWN_CODES`. `message` is a sentence for
    people. `is_retryable` says whether the same may succeed later, and `retry_after` when (in
    seconds). `path` is that of a wrong field, such as `data.seat`. `outcome` says what has become
    of a command or question: "not_sent", "refused", "unknown", or "answered" for a wrong answer.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        is_retryable: bool = False,
        retry_after: float | None = None,
        path: str | None = None,
        outcome: str | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message or OWN_CODES.get(code, code)
        self.is_retryable = is_retryable
        self.retry_after = retry_after
        self.path = path
        self.outcome = outcome

    @classmethod
    def of(cls, failure: Failure) -> "RealtimeError":
        """Return the exception for an `error` of the server."""
        return cls(
            failure.code,
            failure.message,
            is_retryable=failure.retryable,
            retry_after=failure.retry_after,
            path=failure.path,
            outcome=failure.outcome or "refused",
        )

    def __str__(self) -> str:
        place = f" ({self.path})" if self.path else ""
        return f"{self.code}: {self.message}{place}"
