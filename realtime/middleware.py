"""Middleware of the package."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.http import HttpRequest
from django.urls import Resolver404, resolve
from django.utils.decorators import sync_and_async_middleware

from . import views

__all__ = ["health"]

PAGES = (views.live, views.ready)


@sync_and_async_middleware
def health(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Answer load balancers before any other middleware can redirect or refuse them.

    It stands first in `MIDDLEWARE`, so `ALLOWED_HOSTS`, a redirect to https, a login, a locale or
    a maintenance mode do not concern the health pages.
    """
    if iscoroutinefunction(get_response):

        async def answer(request: HttpRequest) -> Any:
            page = _page(request)
            return await (get_response if page is None else page)(request)

        return answer

    def answer_in_thread(request: HttpRequest) -> Any:
        page = _page(request)
        return get_response(request) if page is None else async_to_sync(page)(request)

    return answer_in_thread


def _page(request: HttpRequest) -> Callable[[HttpRequest], Any] | None:
    """The health page that a request is for, wherever the site has mounted it."""
    if not request.path_info.rstrip("/").endswith(("/live", "/ready")):
        return None
    try:
        found = resolve(request.path_info, getattr(request, "urlconf", None)).func
    except Resolver404:
        return None
    return found if found in PAGES else None
