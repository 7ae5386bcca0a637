"""The package's pages work under the settings that a site has chosen for its own pages."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.contrib.auth import get_user_model
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.utils.decorators import sync_and_async_middleware
from pytest_django import Settings
from pytest_django.plugin import DjangoDbBlocker

from harness.site import Sites
from tests.store.conftest import emptied

HEALTH = "realtime.middleware.health"
PAGES = ["live", "live/", "ready", "ready/"]


@sync_and_async_middleware
def maintenance(get_response: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse everybody, as middleware of a maintenance mode does."""
    if iscoroutinefunction(get_response):

        async def refuse(request: HttpRequest) -> HttpResponse:
            return HttpResponse("back soon", status=503)

        return refuse
    return lambda request: HttpResponse("back soon", status=503)


def only_sync(get_response: Callable[..., Any]) -> Callable[..., Any]:
    """An old middleware: Django runs it, and the whole stack, in a thread."""
    return lambda request: get_response(request)


class OnlyAsync:
    """A new one that knows nothing else."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Callable[..., Any]) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = await self.get_response(request)
        return response


def with_middleware(*more: str, first: bool = False) -> Callable[[Settings], None]:
    def change(settings: Settings) -> None:
        before = list(settings.MIDDLEWARE)
        settings.MIDDLEWARE = [*more, *before] if first else [*before, *more]

    return change


def with_settings(**wanted: Any) -> Callable[[Settings], None]:
    def change(settings: Settings) -> None:
        for name, value in wanted.items():
            setattr(settings, name, value)

    return change


def atomic(settings: Settings) -> None:
    connections["default"].settings_dict["ATOMIC_REQUESTS"] = True


def cached(settings: Settings) -> None:
    """Django's cache of whole pages, around everything else."""
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]


def localized(settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.localized"
    with_middleware("django.middleware.locale.LocaleMiddleware")(settings)


SITES: dict[str, Callable[[Settings], None]] = {
    "nothing special": with_settings(),
    "ATOMIC_REQUESTS": atomic,
    "APPEND_SLASH on": with_settings(APPEND_SLASH=True),
    "APPEND_SLASH off": with_settings(APPEND_SLASH=False),
    "login required": with_middleware("django.contrib.auth.middleware.LoginRequiredMiddleware"),
    "locale prefixes": localized,
    "cached pages": cached,
    "a strict content policy": with_middleware("project.middleware.content_security_policy"),
    "GZip": with_middleware("django.middleware.gzip.GZipMiddleware", first=True),
    "conditional GET": with_middleware("django.middleware.http.ConditionalGetMiddleware"),
    "CSRF in sessions": with_settings(CSRF_USE_SESSIONS=True),
    "CSRF by another name": with_settings(
        CSRF_COOKIE_NAME="own", CSRF_HEADER_NAME="HTTP_X_OWN", CSRF_COOKIE_HTTPONLY=True
    ),
    "no CSRF middleware": lambda settings: settings.MIDDLEWARE.remove(
        "django.middleware.csrf.CsrfViewMiddleware"
    ),
    "sync middleware": with_middleware(f"{__name__}.only_sync"),
    "async middleware": with_middleware(f"{__name__}.OnlyAsync"),
}
BEFORE_ALL: dict[str, Callable[[Settings], None]] = {
    "maintenance mode": with_middleware(f"{__name__}.maintenance", first=True),
    "redirect to https": with_settings(SECURE_SSL_REDIRECT=True),
    "the balancer's own Host": with_settings(ALLOWED_HOSTS=["example.com"]),
}


@pytest.fixture(params=["sqlite"])
def site(
    request: pytest.FixtureRequest,
    sites: Sites,
    settings: Settings,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[Settings]:
    with emptied(sites.database_url(request.param), django_db_blocker):
        settings.ROOT_URLCONF = "project.urls"
        settings.MIDDLEWARE = list(settings.MIDDLEWARE)
        yield settings


@pytest.mark.parametrize("name", SITES)
def test_health_answers_200_in_a_worker_of_wsgi(site: Settings, name: str) -> None:
    SITES[name](site)
    for page in PAGES * 2:
        response = Client().get(f"/realtime/{page}")
        assert (response.status_code, response.json()["status"]) == (200, "ok")


@pytest.mark.parametrize("name", SITES)
async def test_health_answers_200_in_a_server(site: Settings, name: str) -> None:
    SITES[name](site)
    for page in PAGES * 2:
        response = await AsyncClient().get(f"/realtime/{page}")
        assert (response.status_code, response.json()["status"]) == (200, "ok")


@pytest.mark.parametrize("name", [*SITES, *BEFORE_ALL])
@pytest.mark.parametrize("page", ["live", "ready/"])
def test_first_in_the_middleware_nothing_else_has_a_say(
    site: Settings, name: str, page: str
) -> None:
    """Also none that redirects or refuses; in threads and in the event loop."""
    (SITES | BEFORE_ALL)[name](site)
    site.MIDDLEWARE = [HEALTH, *site.MIDDLEWARE]
    client, in_loop = Client(), AsyncClient()
    for response in (
        client.get(f"/realtime/{page}", HTTP_HOST="10.0.0.7:8001"),
        asyncio.run(_get(in_loop, f"/realtime/{page}")),
    ):
        assert (response.status_code, response.json()["status"]) == (200, "ok")


async def _get(client: AsyncClient, path: str) -> Any:
    try:
        return await client.get(path, headers={"host": "10.0.0.7:8001"})
    finally:
        await sync_to_async(connections.close_all)()


@pytest.mark.parametrize("name", BEFORE_ALL)
def test_without_it_these_do_refuse_a_load_balancer(site: Settings, name: str) -> None:
    """So the test above can fail."""
    BEFORE_ALL[name](site)
    response = Client().get("/realtime/live/", HTTP_HOST="10.0.0.7:8001")
    assert response.status_code != 200


def test_other_pages_are_left_to_the_site(site: Settings) -> None:
    """Also those whose address only looks alike."""
    site.MIDDLEWARE = [HEALTH, *site.MIDDLEWARE]
    assert Client().get("/rooms/live/").status_code in (302, 404)
    assert Client().get("/elsewhere/ready").status_code == 404


def test_below_a_language_the_pages_work_too(site: Settings) -> None:
    localized(site)
    assert Client().get("/en/below/live/").status_code == 200


@pytest.mark.parametrize("name", SITES)
def test_a_user_gets_a_ticket_and_a_stranger_is_told_why_not(site: Settings, name: str) -> None:
    """By 403 and not by a redirect to a login form."""
    SITES[name](site)
    client, stranger = Client(), Client()
    client.force_login(get_user_model().objects.create_user("ada"))
    for page in ("ticket", "ticket/"):
        refused = stranger.post(f"/realtime/{page}")
        assert (refused.status_code, refused.json()) == (403, {"error": "not_authenticated"})
        given = client.post(f"/realtime/{page}")
        assert (given.status_code, set(given.json())) == (200, {"ticket", "expires_in"})


@pytest.mark.parametrize("name", SITES)
def test_a_ticket_takes_the_sites_own_csrf_token(site: Settings, name: str) -> None:
    """Without it there is none, whatever the site calls it and wherever it keeps it."""
    SITES[name](site)
    client = Client(enforce_csrf_checks=True)
    client.force_login(get_user_model().objects.create_user("ada"))
    assert client.post("/realtime/ticket").status_code == 403


@pytest.mark.parametrize("page", ["live/", "ready/"])
def test_health_says_what_is_now_and_not_what_a_cache_has_kept(
    site: Settings, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(site)
    assert Client().get(f"/realtime/{page}").status_code == 200
    monkeypatch.setattr("realtime.engine.health._query", lambda: False)
    expected = 503 if page == "ready/" else 200
    assert Client().get(f"/realtime/{page}").status_code == expected
