"""The game with the generic consumer of Channels."""

from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from . import rules


class GameConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        if not self.scope["user"].is_authenticated:
            await self.close()
            return
        self.game = self.scope["url_route"]["kwargs"]["slug"]
        self.player = self.scope["user"].username
        await self.channel_layer.group_add(f"game.{self.game}", self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        if hasattr(self, "game"):
            await self.channel_layer.group_discard(f"game.{self.game}", self.channel_name)
            await self.play(rules.leave)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        if not isinstance(content, dict):
            await self.refuse("Send an object.")
            return
        action = content.get("action")
        if action == "join":
            await self.play(rules.join)
        elif action == "leave":
            await self.play(rules.leave)
        elif action == "move":
            cell = content.get("cell")
            if type(cell) is not int or not 0 <= cell <= 8:
                await self.refuse("A cell is a number from 0 to 8.", "cell")
                return
            await self.play(rules.move, cell)
        else:
            await self.refuse("There is no such action.", "action")

    async def play(self, rule: Any, *given: Any) -> None:
        try:
            board = rule(self.game, self.player, *given)
        except rules.BadMove as error:
            await self.refuse(error.message, error.field)
            return
        state = {"players": board.players, "cells": board.cells, "turn": board.turn}
        await self.channel_layer.group_send(
            f"game.{self.game}", {"type": "game.state", "state": state}
        )

    async def game_state(self, event: Any) -> None:
        await self.send_json({"action": "state", **event["state"]})

    async def refuse(self, message: str, field: str | None = None) -> None:
        await self.send_json({"action": "error", "message": message, "field": field})
