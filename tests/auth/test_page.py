"""What docs/auth.md shows works."""

import asyncio
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import signing
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from harness.client.websocket import Client
from harness.site import UNLIMITED, Factory
from realtime.auth.checks import check_authenticators
from realtime.checks import check_settings
from realtime.models import RevokedToken
from tests.faults._token import SETTINGS, somebody, token

PAGE = Path(__file__).parent.parent.parent / "docs" / "auth.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def run(part: str) -> dict[str, Any]:
    """Execute the one snippet that has this in it."""
    [snippet] = [one for one in SNIPPETS if part in one]
    names: dict[str, Any] = {"__name__": "of_the_page"}
    exec(compile(snippet, str(PAGE), "exec"), names)
    return names


def test_each_snippet_is_tried_here() -> None:
    """A new one needs a test."""
    assert len(SNIPPETS) == 5


def test_the_settings_are_clean(settings: Settings) -> None:
    """No check has anything to say."""
    settings.REALTIME = run("JWT_JWKS_FILE")["REALTIME"]
    settings.REALTIME = {**settings.REALTIME, "JWT_USER_FIELD": "username"}
    assert check_settings() == check_authenticators() == []


@pytest.mark.django_db
def test_the_view_gives_tickets() -> None:
    """Also without a session."""
    request: Any = RequestFactory().post("/")
    request.user = get_user_model().objects.create_user("ada")
    answer = run("mobile_ticket")["mobile_ticket"](request)
    assert b'"ticket": "' in answer.content


@pytest.mark.django_db
def test_revoking_is_remembered() -> None:
    """Whether anybody is connected or not."""
    run("import revoke")
    assert RevokedToken.objects.get().jti == "the token's jti"


@pytest.mark.django_db
def test_the_authenticator_knows_its_devices() -> None:
    """And nobody else's tokens."""
    ada = get_user_model().objects.create_user("ada")
    device = run("class Device")["Device"]()
    found = device.from_token(signing.dumps(["phone", ada.pk], salt="device"))
    assert (found.identity.user, found.credential.token_id) == (ada, "device:phone")
    assert device.from_token(signing.dumps(["phone", ada.pk])) is None
    assert device.from_token(signing.dumps(["phone", ada.pk + 1], salt="device")) is None


async def test_the_program_gets_messages(make_site: Factory) -> None:
    """From a real server, by a token in the header."""
    settings = {**UNLIMITED, **SETTINGS, "GUESTS": False}
    site = make_site(
        database="sqlite", layer="memory", settings=settings, urls="tests.faults._people"
    )
    made = await somebody(site, "ada")
    [url] = site.urls
    listening: AsyncGenerator[str, None] = run("async def messages")["messages"](
        url, token(made["pk"]), "general"
    )
    async with await Client.connect(url) as client:
        await client.send("auth", token=token(made["pk"]))
        await client.join("general")
        heard = asyncio.ensure_future(anext(listening))
        async with asyncio.timeout(15):
            while not heard.done():  # it is not known when the program has joined
                await client.say("general", "hello")
                await asyncio.wait([heard], timeout=0.1)
        assert heard.result() == "hello"
    await listening.aclose()
