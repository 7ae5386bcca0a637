"""What an administrator does on one process reaches whoever is connected to another, at once."""

import re
import time
from asyncio import to_thread
from collections.abc import Iterator
from http.cookiejar import CookieJar
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import pytest

from harness.client.websocket import Client
from harness.site import Factory, Site
from harness.waiting import eventually

SECONDS = 1
STANDS = "SELECT 1 FROM realtime_connection WHERE id = %s"
ADMINISTRATOR = """
import django
django.setup()
from django.contrib.auth.models import User
User.objects.create_superuser("admin", password="secret")
"""


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    made = make_shared_site(servers=("daphne", "daphne"))
    made.run("-c", ADMINISTRATOR)
    return made


@pytest.fixture(scope="module")
def pages(site: Site) -> Iterator[OpenerDirector]:
    """An administrator's browser, signed in."""
    opener = build_opener(HTTPCookieProcessor(CookieJar()))
    url = f"{site.servers[0].url}/admin/login/"
    post(opener, url, username="admin", password="secret", next="/admin/")
    yield opener
    opener.close()


def post(opener: OpenerDirector, url: str, **data: object) -> None:
    """Send a form with the token of its page."""
    with opener.open(url, timeout=30) as page:
        [token, *_] = re.findall(r'csrfmiddlewaretoken" value="([^"]+)"', page.read().decode())
    given = urlencode({"csrfmiddlewaretoken": token, **data}).encode()
    with opener.open(url, given, timeout=30) as page:
        assert page.status == 200


@pytest.mark.parametrize("action", ["kick", "ban"])
async def test_who_is_put_out_is_out_within_a_second(
    site: Site, pages: OpenerDirector, action: str
) -> None:
    """Of a room, by a click on another process."""
    [room] = site.database.rows("SELECT id FROM realtime_room WHERE slug = 'general'")[0]
    async with await Client.connect(site.urls[1]) as guest:
        name = (await guest.expect("welcome"))["connection"]
        await guest.join("general")
        await eventually(lambda: site.database.rows(STANDS, name))
        url = f"{site.servers[0].url}/admin/realtime/connection/"
        data = {"action": action, "_selected_action": name, "room": room, "reason": "spam"}
        await to_thread(post, pages, url, **data)
        done = time.monotonic()
        told = await guest.expect("removed", room="general", timeout=5)
        assert time.monotonic() - done < SECONDS
        assert "spam" in told["message"]


async def test_who_is_banned_from_the_site_is_closed_within_a_second(
    site: Site, pages: OpenerDirector
) -> None:
    async with await Client.connect(site.urls[1]) as guest:
        user = (await guest.expect("welcome"))["user_id"]
        name = guest.seen[0]["connection"]
        await eventually(lambda: site.database.rows(STANDS, name))
        url = f"{site.servers[0].url}/admin/realtime/sanction/add/"
        await to_thread(post, pages, url, kind="ban", user_key=user, reason="spam")
        done = time.monotonic()
        assert await guest.closed(5) == 4503
        assert time.monotonic() - done < SECONDS


async def test_a_text_that_is_taken_away_is_gone_within_a_second(
    site: Site, pages: OpenerDirector
) -> None:
    """Its tombstone is told to all."""
    async with await Client.connect(site.urls[1]) as guest:
        await guest.join("room-1")
        ack = await guest.say("room-1", "secret", nonce="1")
        url = f"{site.servers[0].url}/admin/realtime/message/"
        data = {"action": "delete_text", "_selected_action": ack["id"], "is_sure": "True"}
        await to_thread(post, pages, url, **data)
        done = time.monotonic()
        told = (await guest.expect("changed", timeout=5))["message"]
        assert time.monotonic() - done < SECONDS
        assert (told["id"], told["deleted"], "content" in told) == (ack["id"], True, False)
