"""An application that tells each client whether its server is one that can be written past."""

from typing import Any

from realtime.engine.servers import transport
from realtime.wire.packet import Packet


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Accept, tell, and wait for the end."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    line = transport.raw_writer(send)
    await send({"type": "websocket.send", "text": "known" if line else "unknown"})
    if line is not None:
        line(Packet(["past"]))
    await receive()
