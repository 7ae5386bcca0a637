"""The phases of a connection, and the moves between them."""

from enum import IntEnum

__all__ = ["MOVES", "Phase", "PhaseError"]


class Phase(IntEnum):
    """The phases of a connection, in their order."""

    CONNECTING = 0
    """The handshake is not finished."""
    AUTHENTICATING = 1
    """The socket is open, and the client has to authenticate by its first message."""
    OPEN = 2
    """The client has an identity, and its commands are executed."""
    CLOSING = 3
    """The connection is being closed by either side. No command is executed."""
    CLOSED = 4
    """Everything that was acquired has been released."""


MOVES = {
    Phase.CONNECTING: (Phase.AUTHENTICATING, Phase.OPEN, Phase.CLOSING, Phase.CLOSED),
    Phase.AUTHENTICATING: (Phase.OPEN, Phase.CLOSING, Phase.CLOSED),
    Phase.OPEN: (Phase.CLOSING, Phase.CLOSED),
    Phase.CLOSING: (Phase.CLOSED,),
    Phase.CLOSED: (),
}
"""The phases that may follow each phase."""


class PhaseError(RuntimeError):
    """A connection was moved to a phase that cannot follow its own."""

    def __init__(self, connection: str, phase: Phase, to: Phase) -> None:
        super().__init__(connection, phase, to)
        self.connection = connection
        self.phase = phase
        self.to = to

    def __str__(self) -> str:
        expected = " or ".join(one.name for one in MOVES[self.phase]) or "no other phase"
        return (
            f"connection {self.connection} is {self.phase.name}: "
            f"expected a move to {expected}, got {self.to.name}"
        )
