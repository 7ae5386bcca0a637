"""python-socketio with its Redis manager: `uvicorn benchmarks.peers.socketio_server:app`."""

import os

import socketio

server = socketio.AsyncServer(
    async_mode="asgi", client_manager=socketio.AsyncRedisManager(os.environ["REDIS_URL"])
)
app = socketio.ASGIApp(server)


@server.event
async def join(sid: str, room: str) -> None:
    """Enter a room."""
    await server.enter_room(sid, room)
    await server.emit("joined", room, to=sid)


@server.event
async def message(sid: str, room: str, text: str) -> None:
    """Tell a room."""
    await server.emit("message", text, room=room)
