"""The chat of the Channels tutorial, with the three lines changed of `docs/channels.md`."""

import json

from channels.generic.websocket import AsyncWebsocketConsumer

from realtime.topics import subscribe

from .topics import ChatMessage, ChatTopic, KeptChatTopic


class ChatConsumer(AsyncWebsocketConsumer):
    """Everybody in a room gets what anybody says."""

    topics: type[ChatTopic] | type[KeptChatTopic] = ChatTopic

    async def connect(self) -> None:
        self.topic = self.topics(room_name=self.scope["url_route"]["kwargs"]["room_name"])
        await self.accept()
        await subscribe(self, self.topic.name)

    async def receive(self, text_data: str) -> None:
        message = json.loads(text_data)["message"]
        await self.topic.apublish(ChatMessage(message=message))


class KeptChatConsumer(ChatConsumer):
    """The same, and all that is said is stored."""

    topics = KeptChatTopic
