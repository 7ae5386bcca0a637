"""The errors that the site's code raises and catches, with their codes."""

from .wire.errors import CloseCode, CommandError, Disconnect, ErrorCode, ProtocolError
from .wire.failures import RealtimeError

__all__ = [
    "CloseCode",
    "CommandError",
    "Disconnect",
    "ErrorCode",
    "ProtocolError",
    "RealtimeError",
]
