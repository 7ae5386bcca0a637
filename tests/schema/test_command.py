"""`manage.py realtime_schema`: the routes of a site, files, and the check of a file."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.management import CommandError, call_command
from django.urls import path, re_path
from pytest_django import Settings

from realtime.consumers import ChatConsumer, Consumer
from realtime.routing import websocket_urlpatterns
from realtime.schema.routes import routed


class Own(Consumer):
    """A consumer of the site."""


class Foreign(AsyncJsonWebsocketConsumer):
    """A consumer that has nothing to do with this package."""


nested = URLRouter([path("own/<int:pk>/", Own.as_asgi())])
application = ProtocolTypeRouter(
    {
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(
                URLRouter(
                    [
                        re_path("^ws/a/", nested),
                        path("ws/foreign/", Foreign.as_asgi()),
                        *websocket_urlpatterns,
                    ]
                )
            )
        )
    }
)
only_http = ProtocolTypeRouter({"http": None})


def printed(*arguments: Any) -> str:
    out = StringIO()
    call_command("realtime_schema", *arguments, stdout=out)
    return out.getvalue()


def test_the_consumers_are_found_behind_routers_and_middleware(settings: Settings) -> None:
    settings.ASGI_APPLICATION = f"{__name__}.application"
    assert dict(routed()) == {"/ws/a/own/<int:pk>/": Own, "/ws/": ChatConsumer}


def test_the_consumers_of_the_demo_are_found() -> None:
    assert dict(routed())["/ws/"] is ChatConsumer


def test_a_site_without_an_asgi_application_has_the_routes_of_the_package(
    settings: Settings,
) -> None:
    settings.ASGI_APPLICATION = None
    assert dict(routed()) == {"/ws/": ChatConsumer}


def test_a_site_without_sockets_has_none(settings: Settings) -> None:
    settings.ASGI_APPLICATION = f"{__name__}.only_http"
    assert list(routed()) == []


def test_an_application_that_cannot_be_imported_is_named(settings: Settings) -> None:
    settings.ASGI_APPLICATION = "nowhere.application"
    with pytest.raises(CommandError, match=r"ASGI_APPLICATION = 'nowhere\.application'"):
        printed()


def test_a_consumer_without_a_route_can_be_named() -> None:
    document = json.loads(printed("--asyncapi", "--consumer", f"{__name__}.Own"))
    assert document["channels"]["Own"]["address"] is None
    assert document["channels"]["Own"]["description"] == "A consumer of the site."


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (f"{__name__}.Foreign", "is not a subclass of"),
        (f"{__name__}.missing", "cannot be imported"),
        ("nonsense", "cannot be imported"),
    ],
)
def test_a_wrong_consumer_is_named(name: str, told: str) -> None:
    with pytest.raises(CommandError, match=told):
        printed("--consumer", name)


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("--json-schema", '{\n  "$schema"'),
        ("--asyncapi", '{\n  "asyncapi": "3.0.0"'),
        ("--typescript", "// Made by `manage.py realtime_schema"),
    ],
)
def test_each_kind_is_printed(kind: str, start: str) -> None:
    text = printed(kind)
    assert text.startswith(start)
    assert text.endswith(("}\n", ";\n"))


def test_the_title_and_release_are_those_of_the_site() -> None:
    info = json.loads(printed("--asyncapi", "--title", "Shop", "--release", "7"))["info"]
    assert (info["title"], info["version"]) == ("Shop", "7")


def test_two_kinds_at_once_are_refused() -> None:
    with pytest.raises(CommandError, match="not allowed with"):
        printed("--typescript", "--asyncapi")


def test_the_file_that_was_written_is_up_to_date(tmp_path: Path) -> None:
    file = tmp_path / "site.ts"
    assert printed("--typescript", "--output", file) == ""
    assert printed("--typescript", "--check", file) == ""


def test_a_file_that_differs_fails_and_says_how_to_write_it(tmp_path: Path) -> None:
    """With the first lines that differ."""
    file = tmp_path / "site.ts"
    printed("--typescript", "--output", file)
    file.write_text(file.read_text().replace("interface Member", "interface Person"))
    with pytest.raises(CommandError) as told:
        printed("--typescript", "--check", file)
    assert told.value.returncode == 1
    assert f"realtime_schema --typescript --output {file}" in str(told.value)
    assert "+export interface Member {" in str(told.value)


def test_a_file_that_is_missing_fails(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        printed("--check", tmp_path / "missing.json")
