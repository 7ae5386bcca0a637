"""Where the package's socket lives: `/ws` or `/ws/`."""

from django.urls import re_path

from .consumers import ChatConsumer

__all__ = ["websocket_urlpatterns"]

websocket_urlpatterns = [re_path(r"^ws/?$", ChatConsumer.as_asgi())]
