"""The routes of the sockets."""

from django.urls import path

from realtime.routing import websocket_urlpatterns as package

from .consumers import ChatConsumer, KeptChatConsumer

websocket_urlpatterns = [
    path("ws/tutorial/<slug:room_name>/", ChatConsumer.as_asgi()),
    path("ws/kept/<slug:room_name>/", KeptChatConsumer.as_asgi()),
    *package,
]
