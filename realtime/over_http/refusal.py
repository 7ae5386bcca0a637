"""A request that is refused before any command is executed."""

from http import HTTPStatus

from ..wire.errors import CloseCode, CommandError, ErrorCode

__all__ = ["IDENTITY_CHANGED", "UNSUPPORTED", "Refusal", "status_of"]

IDENTITY_CHANGED, UNSUPPORTED = "identity_changed", "unsupported"
"""The codes that only HTTP has."""
STATUS: dict[int, HTTPStatus] = {
    CloseCode.SHUTDOWN: HTTPStatus.SERVICE_UNAVAILABLE,
    CloseCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    CloseCode.AT_CAPACITY: HTTPStatus.SERVICE_UNAVAILABLE,
    CloseCode.CROWDED: HTTPStatus.TOO_MANY_REQUESTS,
    CloseCode.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    CloseCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    CloseCode.EXPIRED: HTTPStatus.UNAUTHORIZED,
}


class Refusal(CommandError):  # noqa: N818 - as `Disconnect`
    """The reply to a request, with its HTTP status; the client gets it as an `error`."""

    def __init__(
        self,
        status: HTTPStatus,
        code: ErrorCode | str,
        message: object,
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message, retry_after=retry_after)
        self.status = status


def status_of(code: int) -> HTTPStatus:
    """Return the HTTP status of a connection that is closed before its `welcome`."""
    if code in STATUS:
        return STATUS[code]
    is_final = code >= CloseCode.UNAUTHENTICATED
    return HTTPStatus.FORBIDDEN if is_final else HTTPStatus.SERVICE_UNAVAILABLE
