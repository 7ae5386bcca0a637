"""Messages to systemd about the service (sd_notify(3))."""

import os
import socket
from contextlib import suppress

__all__ = ["tell_systemd"]

MESSAGES = {"ready": b"READY=1", "stopping": b"STOPPING=1"}


def tell_systemd(state: str) -> None:
    """Report "ready" or "stopping", if systemd has started this process as `Type=notify`."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with (
        suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify,
    ):
        notify.sendto(MESSAGES[state], address)
