"""The state of an open connection at one moment, for administrators."""

from typing import NamedTuple

from ...store.accounts.identity import Identity
from .phase import Phase

__all__ = ["ConnectionStats"]


class ConnectionStats(NamedTuple):
    """A snapshot of a connection; times are in seconds since the epoch."""

    id: str
    identity: Identity | None
    """The user or guest; None until the client has authenticated."""
    address: str
    """The exact address of the client, for moderators; empty where it is unknown."""
    encoding: str
    """The subprotocol whose encoding the connection uses."""
    phase: Phase
    connected_at: float
    last_active_at: float
    """When the client last sent something, at first when it connected."""
    queued_frames: int
    """How many frames wait because the client reads slowly."""
    queued_bytes: int
