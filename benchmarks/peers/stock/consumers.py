"""The consumers: the tutorial's chat, the same with a row a message, and who is signed in."""

import json
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from .models import Message


class ChatConsumer(AsyncWebsocketConsumer):
    """Everybody in a room gets what anybody says."""

    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        self.group = f"chat_{self.room}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive(self, text_data: str) -> None:
        await self.tell(json.loads(text_data)["message"])

    async def tell(self, message: str) -> None:
        """Send a message to the room."""
        event = {"type": "chat.message", "message": message}
        await self.channel_layer.group_send(self.group, event)

    async def chat_message(self, event: dict[str, Any]) -> None:
        """Hand on what somebody said."""
        await self.send(text_data=json.dumps({"message": event["message"]}))


class PersistConsumer(ChatConsumer):
    """The same, with a row a message and an acknowledgement."""

    async def receive(self, text_data: str) -> None:
        data = json.loads(text_data)
        await Message.objects.acreate(room=self.room, content=data["message"])
        await self.tell(data["message"])
        await self.send(text_data=json.dumps({"ack": data["nonce"]}))


class SessionConsumer(AsyncWebsocketConsumer):
    """Tells a signed-in user their name, and turns others away."""

    async def connect(self) -> None:
        user = self.scope["user"]
        if not user.is_authenticated:
            await self.close()
            return
        await self.accept()
        await self.send(text_data=json.dumps({"user": user.get_username()}))
