"""The ASGI file of the site in `orders.py`: its own consumers, and those of the package."""

from realtime.asgi import get_asgi_application

application = get_asgi_application("tests.e2e.orders_routing.websocket_urlpatterns")
