"""The package's socket, and the consumer of the tutorial beside it."""

import os

from realtime.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.site.settings")
application = get_asgi_application("benchmarks.site.routing.websocket_urlpatterns")
