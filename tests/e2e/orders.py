"""Topics and pages of a site, for tests of topics; all may see an order whose room is public."""

from datetime import timedelta
from threading import Thread

from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

from realtime.models import Room
from realtime.topics import Command, Event, Topic, command, subscribe


class Paid(Event):
    total: int


class Cancel(Command):
    reason: str


class OrderTopic(Topic):
    path = "order/<int:pk>"
    events = [Paid]
    keep = timedelta(days=1)
    pk: int

    def may_subscribe(self) -> bool:
        return Room.objects.filter(pk=self.pk, kind="public").exists()

    @command
    def cancel(self, command: Cancel) -> Paid:
        self.publish(Paid(total=-len(command.reason)))
        return Paid(total=0)


class DeskTopic(Topic):
    """Shows who is subscribed; a closed one is for nobody."""

    path = "desk/<int:pk>"
    presence = True
    pk: int

    def may_subscribe(self) -> bool:
        return not Room.objects.filter(pk=self.pk, kind="private").exists()


class Said(Event):
    message: str


class ChatTopic(Topic):
    """Not kept, as in the tutorial of Channels."""

    path = "chat/<slug:room_name>"
    events = [Said]
    room_name: str

    def may_subscribe(self) -> bool:
        return True


class ChatConsumer(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        self.topic = ChatTopic(room_name=self.scope["url_route"]["kwargs"]["room_name"])
        await self.accept()
        await subscribe(self, self.topic)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=f"heard {text_data}")
        await self.topic.apublish(Said(message=text_data or ""))


class TooEarly(AsyncWebsocketConsumer):
    """Subscribes before it accepts, which is a mistake."""

    async def connect(self) -> None:
        try:
            await subscribe(self, "chat/lobby")
        except RuntimeError as error:
            await self.accept()
            await self.send(text_data=str(error))


def publish(request: HttpRequest, pk: int, total: int) -> HttpResponse:
    """Publish from a plain thread, which has a database connection of its own."""

    def work() -> None:
        OrderTopic(pk=pk).publish(Paid(total=total))
        connection.close()

    thread = Thread(target=work)
    thread.start()
    thread.join()
    return HttpResponse()


urlpatterns = [path("publish/<int:pk>/<int:total>", publish)]
websocket_urlpatterns = [
    path("ws/chat/<slug:room_name>/", ChatConsumer.as_asgi()),
    path("ws/early/", TooEarly.as_asgi()),
]
