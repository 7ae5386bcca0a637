"""The WebSockets of the site in `orders.py`."""

from realtime.routing import websocket_urlpatterns as ours
from tests.e2e.orders import websocket_urlpatterns as own

websocket_urlpatterns = [*own, *ours]
