"""Signals as events, so that they are handled between two steps and never inside one."""

import os
import selectors
import signal
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from typing import Any, Self

__all__ = ["Signals"]


class Signals:
    """Collects the signals with these numbers in a block, and wakes up for them."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers
        self._before: dict[int, Any] = {}
        self._wake_fd = -1

    def __enter__(self) -> Self:
        self._reading, self._writing = socket.socketpair()
        for one in (self._reading, self._writing):
            one.setblocking(False)
        self._wake_fd = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        for number in self._numbers:
            self._before[number] = signal.signal(number, _pass)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wake_fd)
        self._reading.close()
        self._writing.close()

    def wait(self, others: Iterable[socket.socket], until: float | None) -> list[int]:
        """Wait for a signal, for something to read in other sockets, or for a monotonic time.

        Returns the signals that have come, in their order.
        """
        timeout = None if until is None else max(until - time.monotonic(), 0)
        with selectors.DefaultSelector() as selector:
            for one in (self._reading, *others):
                selector.register(one, selectors.EVENT_READ)
            selector.select(timeout)
        arrived = b""
        with suppress(BlockingIOError):
            while data := os.read(self._reading.fileno(), 4096):
                arrived += data
        return [number for number in arrived if number in self._numbers]


def _pass(number: int, frame: FrameType | None) -> None:
    """Do nothing: the number is in the socket already."""
