"""Middleware of the package."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.http import HttpRequest
from django.urls import Resolver404, resolve
from django.utils.decorators import sync_and_async_middleware

from . import views
from .log_fields import request as current
from .page import request_id_of

__all__ = ["health", "request_id"]

PAGES = (views.live, views.ready)


@sync_and_async_middleware
def health(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Answer load balancers before any other middleware can redirect or refuse them.

    As the first entry of `MIDDLEWARE` it answers before `ALLOWED_HOSTS`, a redirect to https, a
    login, a locale or a maintenance mode apply.
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


@sync_and_async_middleware
def request_id(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Give the log records of the package the id of the request in which they are written.

    The id is `request.id`, or else the header `X-Request-ID`.
    """
    if iscoroutinefunction(get_response):

        async def answer(request: HttpRequest) -> Any:
            with _in_log_records(request):
                return await get_response(request)

        return answer

    def answer_in_thread(request: HttpRequest) -> Any:
        with _in_log_records(request):
            return get_response(request)

    return answer_in_thread


@contextmanager
def _in_log_records(request: HttpRequest) -> Iterator[None]:
    token = current.set(request_id_of(request))
    try:
        yield
    finally:
        current.reset(token)


def _page(request: HttpRequest) -> Callable[[HttpRequest], Any] | None:
    """Return the health page of a request, wherever the site has mounted it, or None."""
    if not request.path_info.rstrip("/").endswith(("/live", "/ready")):
        return None
    try:
        found = resolve(request.path_info, getattr(request, "urlconf", None)).func
    except Resolver404:
        return None
    return found if found in PAGES else None
