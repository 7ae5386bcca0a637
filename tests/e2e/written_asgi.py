"""The ASGI file of a site whose durable streams can be written."""

from realtime.asgi import get_asgi_application

site = get_asgi_application()

from tests.e2e.written import WriteApart  # noqa: E402 - after Django is set up

application = WriteApart(site)
