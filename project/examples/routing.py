"""The sockets of the examples, and that of the chat."""

from django.urls import path

from realtime.routing import websocket_urlpatterns as chat

from .batch.consumers import Upper
from .echo.consumers import Echo
from .telemetry.consumers import DeviceConsumer

__all__ = ["websocket_urlpatterns"]

websocket_urlpatterns = [
    path("ws/echo/", Echo.as_asgi()),
    path("ws/batch/", Upper.as_asgi()),
    path("ws/telemetry/", DeviceConsumer.as_asgi()),
    *chat,
]
