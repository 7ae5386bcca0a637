"""The site as ASGI: Django's pages, and the WebSockets of `realtime`."""

import os

from realtime.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
application = get_asgi_application("project.examples.routing.websocket_urlpatterns")
