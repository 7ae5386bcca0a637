"""ASGI files of sites: `plain` as Channels documents it, `stacked` with its `AuthMiddlewareStack`.

`early` imports the package's routes before Django is set up, `named` has them by their path.
"""

from realtime.routing import websocket_urlpatterns  # isort: skip - Django is not set up yet

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

from realtime.asgi import get_asgi_application as get_realtime_application

http = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402 - needs models

routes = URLRouter(websocket_urlpatterns)
plain = ProtocolTypeRouter({"http": http, "websocket": routes})
stacked = ProtocolTypeRouter({"http": http, "websocket": AuthMiddlewareStack(routes)})
early = get_realtime_application([*websocket_urlpatterns])
named = get_realtime_application("realtime.routing.websocket_urlpatterns")
