"""What sends: as fast as a window allows, or at a fixed rate."""

import asyncio
import time
from collections.abc import Callable, Sequence

from .sockets import Socket
from .stream import SIZE, Run, text_of

__all__ = ["Latencies", "Pace", "Window"]


TICK_SECONDS = 0.001
"""The resolution of uvloop's clock: a shorter sleep is none, and would take a core."""


class Latencies:
    """Seconds from the sending of each message to the last of so many arrivals."""

    def __init__(self, arrivals: int = 1) -> None:
        self.arrivals = arrivals
        self.seconds: list[float] = []
        self._open: dict[tuple[int, int], list[float]] = {}

    def is_open(self, sender: int, number: int) -> bool:
        """Whether a message is on its way."""
        return (sender, number) in self._open

    def sent(self, sender: int, number: int) -> None:
        """A message leaves."""
        self._open[sender, number] = [time.perf_counter(), 0]

    def arrived(self, sender: int, number: int) -> None:
        """A message, or what stands for it, has come to one place."""
        entry = self._open.get((sender, number))
        if entry is None:
            return
        entry[1] += 1
        if entry[1] >= self.arrivals:
            self.seconds.append(time.perf_counter() - entry[0])
            del self._open[sender, number]

    def run_arrived(self, run: Run) -> None:
        """Messages of one sender have come."""
        sender, first, last = run
        for number in range(first, last + 1):
            self.arrived(sender, number)

    @property
    def waiting(self) -> int:
        """How many are on their way."""
        return len(self._open)

    def percentile(self, share: float) -> float:
        """In milliseconds."""
        ordered = sorted(self.seconds)
        return ordered[int(len(ordered) * share)] * 1000 if ordered else 0.0


class Window:
    """Keeps so many messages of one socket outstanding, until it is stopped.

    A message is outstanding until `landed` is called for it: by an acknowledgement, or by the
    arrival at another member.
    """

    def __init__(
        self, socket: Socket, room: str, number: int, size: int, latencies: Latencies
    ) -> None:
        self.socket = socket
        self.room = room
        self.id = number
        self.size = size
        self.latencies = latencies
        self.landings = 0
        self.faults = 0
        """What landed that was not on its way: twice, or never sent."""
        self.last = 0
        self.is_stopped = False

    def start(self) -> None:
        """Fill the window."""
        for _ in range(self.size):
            self._send()

    def landed(self, number: int) -> None:
        """One has arrived: send the next."""
        if not self.latencies.is_open(self.id, number):
            self.faults += 1
            return
        self.landings += 1
        self.latencies.arrived(self.id, number)
        if not self.is_stopped:
            self._send()

    def run_arrived(self, run: Run) -> None:
        """Some have arrived, of whomever."""
        sender, first, last = run
        if sender == self.id:
            for number in range(first, last + 1):
                self.landed(number)

    def _send(self) -> None:
        self.last += 1
        _say(self.socket, self.room, self.id, self.last, self.latencies)


class Pace:
    """Sends at a fixed rate, the senders in turn, whatever the server does."""

    def __init__(
        self,
        senders: Sequence[tuple[Socket, str, int]],
        rate: float,
        latencies: Latencies,
        text_bytes: int = SIZE,
    ) -> None:
        self.senders = senders
        self.rate = rate
        self.latencies = latencies
        self.text_bytes = text_bytes
        self.sent = 0
        self._numbers: dict[int, int] = {}

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Send until it is over."""
        began = time.perf_counter()
        before = self.sent
        while not is_over():
            due = before + int((time.perf_counter() - began) * self.rate)
            while self.sent < due:
                self._send(*self.senders[self.sent % len(self.senders)])
            following = began + (self.sent - before + 1) / self.rate
            await asyncio.sleep(max(TICK_SECONDS, following - time.perf_counter()))

    def continues(self, sender: int, number: int) -> None:
        """Have a sender go on from a number that it has used."""
        self._numbers[sender] = number

    def _send(self, socket: Socket, room: str, sender: int) -> None:
        number = self._numbers[sender] = self._numbers.get(sender, 0) + 1
        self.sent += 1
        _say(socket, room, sender, number, self.latencies, self.text_bytes)


def _say(
    socket: Socket,
    room: str,
    sender: int,
    number: int,
    latencies: Latencies,
    text_bytes: int = SIZE,
) -> None:
    latencies.sent(sender, number)
    socket.book.sent[sender] = number
    socket.send(socket.dialect.message(room, text_of(sender, number, text_bytes), number))
