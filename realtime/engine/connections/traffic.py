"""The frames and bytes that one connection has received and sent.

A lane counts the events of a topic once for all its members. A member subtracts the numbers of a
lane when it enters the lane, and adds them when it leaves.
"""

from typing import Protocol

from ...counts import counts
from ...wire.packet import Packet

__all__ = ["Totals", "Traffic"]


class Totals(Protocol):
    """The frames and bytes that a lane has sent to each member since its beginning."""

    frames_sent: int
    bytes_sent: int


class Traffic:
    """The frames and bytes of one connection, without those of the lanes that it is in."""

    __slots__ = ("bytes_received", "bytes_sent", "frames_received", "frames_sent")

    def __init__(self) -> None:
        self.frames_received = self.bytes_received = 0
        self.frames_sent = self.bytes_sent = 0

    def receive(self, size: int) -> None:
        """Count a frame of the client, of so many bytes."""
        self.frames_received += 1
        self.bytes_received += size
        counts.frames_received += 1
        counts.bytes_received += size

    def send(self, packet: Packet) -> None:
        """Count frames for this client alone."""
        self.frames_sent += packet.number
        self.bytes_sent += packet.size
        counts.frames_sent += packet.number
        counts.bytes_sent += packet.size

    def replace(self, packet: Packet, own: Packet) -> None:
        """Count `own` in the place of what a lane has counted."""
        self.send(own)
        self.frames_sent -= packet.number
        self.bytes_sent -= packet.size

    def enter(self, lane: Totals) -> None:
        """Count what a lane sends from now on."""
        self.frames_sent -= lane.frames_sent
        self.bytes_sent -= lane.bytes_sent

    def leave(self, lane: Totals) -> None:
        """Keep what a lane has sent, and count no more of it."""
        self.frames_sent += lane.frames_sent
        self.bytes_sent += lane.bytes_sent
