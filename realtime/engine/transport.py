"""The one module that knows servers: what a socket's buffer holds, and how to cut it.

Daphne's `send` never blocks, so its transport is asked to say when it is full; neither
server can end a socket whose peer has stopped reading other than by aborting its transport.
Everything is found by feature; where it is not found, nothing is done.
"""

from collections.abc import Callable
from typing import Any

__all__ = ["abort", "watch"]


def watch(send: Any, pause: Callable[[], None], resume: Callable[[], None]) -> None:
    """Call `pause` when the transport under an ASGI `send` is full, `resume` when it drained."""
    transport = _twisted(send)
    if transport is not None:
        transport.unregisterProducer()  # the HTTP channel that began the handshake
        transport.registerProducer(_Producer(pause, resume), True)


def abort(send: Any) -> None:
    """Drop the connection under an ASGI `send` at once, unsent data and all."""
    transport = _twisted(send)
    if transport is not None:
        transport.abortConnection()
        return
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    drop = getattr(transport, "abort", None)
    if drop is not None:
        drop()


def _twisted(send: Any) -> Any:
    protocol = next(iter(getattr(send, "args", ())), None)
    transport = getattr(protocol, "transport", None)
    return transport if hasattr(transport, "registerProducer") else None


class _Producer:
    """What Twisted calls an IPushProducer."""

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.pauseProducing = pause
        self.resumeProducing = resume

    def stopProducing(self) -> None:  # noqa: N802
        """The transport is gone; the consumer hears of it by its own disconnect."""
