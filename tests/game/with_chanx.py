"""The game with chanx."""

from typing import Annotated, Any, Literal

from chanx.channels.websocket import AsyncJsonWebsocketConsumer
from chanx.core.decorators import channel, ws_handler
from chanx.messages.base import BaseMessage
from chanx.messages.outgoing import ErrorMessage
from pydantic import BaseModel, Field

from . import rules


class JoinMessage(BaseMessage):
    action: Literal["join"] = "join"
    payload: None = None


class LeaveMessage(BaseMessage):
    action: Literal["leave"] = "leave"
    payload: None = None


class MovePayload(BaseModel):
    cell: Annotated[int, Field(strict=True, ge=0, le=8)]


class MoveMessage(BaseMessage):
    action: Literal["move"] = "move"
    payload: MovePayload


class StatePayload(BaseModel):
    players: list[str]
    cells: list[str]
    turn: str


class StateMessage(BaseMessage):
    action: Literal["state"] = "state"
    payload: StatePayload


@channel(name="game")
class GameConsumer(AsyncJsonWebsocketConsumer):
    async def post_authentication(self) -> None:
        if not self.scope["user"].is_authenticated:
            await self.close()
            return
        self.game = self.scope["url_route"]["kwargs"]["slug"]
        self.player = self.scope["user"].username
        await self.join_group(f"game.{self.game}")

    async def websocket_disconnect(self, message: Any) -> None:
        if hasattr(self, "game"):
            await self.leave_group(f"game.{self.game}")
            await self.play(rules.leave)
        await super().websocket_disconnect(message)

    @ws_handler(output_type=StateMessage)
    async def join(self, message: JoinMessage) -> None:
        await self.play(rules.join)

    @ws_handler(output_type=StateMessage)
    async def leave(self, message: LeaveMessage) -> None:
        await self.play(rules.leave)

    @ws_handler(output_type=StateMessage)
    async def move(self, message: MoveMessage) -> None:
        await self.play(rules.move, message.payload.cell)

    async def play(self, rule: Any, *given: Any) -> None:
        try:
            board = rule(self.game, self.player, *given)
        except rules.BadMove as error:
            payload = {"detail": error.message, "field": error.field}
            await self.send_message(ErrorMessage(payload=payload))
            return
        state = StateMessage(payload=StatePayload(**board._asdict()))
        await self.broadcast_message(state, groups=[f"game.{self.game}"])
