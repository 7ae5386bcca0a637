"""A site's own ASGI file: what protects a socket does not depend on how it is mounted."""

import asyncio
from collections.abc import Callable
from urllib.request import urlopen

import pytest
from websockets.exceptions import InvalidStatus

from harness.client.websocket import Client
from harness.site import Factory, Server

JWT = ["realtime.auth.sessions.SessionCookie", "realtime.auth.web_tokens.WebToken"]
APPLICATIONS = ["plain", "stacked", "early", "named"]
KINDS = ["daphne-debug", "uvicorn-debug"]
SESSION = """
import django
django.setup()
from django.contrib.auth import get_user_model
from django.test import Client
user, _ = get_user_model().objects.get_or_create(username="ada")
client = Client()
client.force_login(user)
print(client.session.session_key)
"""

Started = Callable[[str, str], tuple[Server, str]]


@pytest.fixture(scope="module")
def start(make_shared_site: Factory) -> Started:
    """Starts a server by its kind with one of the ASGI files; and the key of Ada's session."""
    settings = {"GUESTS": False, "AUTHENTICATORS": JWT, "JWT_ALGORITHMS": ["HS256"]}
    settings["JWT_KEY"] = "a secret of at least thirty-two bytes"
    site = make_shared_site(
        database="sqlite", layer="memory", servers=(), settings=settings, urls="tests.e2e.own_urls"
    )
    session = site.run("-c", SESSION).strip()

    def run(kind: str, name: str) -> tuple[Server, str]:
        [server] = site.start(kind, application=f"tests.e2e.own:{name}")
        return server, session

    return run


@pytest.mark.parametrize("name", APPLICATIONS)
@pytest.mark.parametrize("kind", KINDS)
async def test_the_origin_check_and_the_masking_do_not_depend_on_the_asgi_file(
    start: Started, kind: str, name: str
) -> None:
    """A foreign page is refused, a page of the site is let in, and no token is in the log."""
    server, session = start(kind, name)
    cookie = {"Cookie": f"sessionid={session}"}
    with pytest.raises(InvalidStatus) as refused:
        await Client.connect(
            f"{server.ws}?token=verysecret", origin="https://evil.example", headers=cookie
        )
    assert refused.value.response.status_code == 403
    client = await Client.connect(
        f"{server.ws}?token=verysecret", origin=server.url, headers=cookie
    )
    assert (await client.expect("welcome"))["username"] == "ada"
    await client.close()
    assert await asyncio.to_thread(urlopen, f"{server.url}/login/?q=shoes&token=verysecret")
    server.kill()
    log = server.log()
    assert "verysecret" not in log
    assert "q=shoes&token=<hidden>" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_a_view_can_push_before_the_first_socket_has_come(start: Started, kind: str) -> None:
    """In one process without Redis: nobody is there yet to miss it."""
    server, session = start(kind, "plain")
    assert await asyncio.to_thread(lambda: urlopen(f"{server.url}/push").status) == 200
    client = await Client.connect(server.ws, headers={"Cookie": f"sessionid={session}"})
    await client.expect("welcome")
    assert await asyncio.to_thread(lambda: urlopen(f"{server.url}/push").status) == 200
    assert (await client.expect("signal"))["data"] == {"from": "a view"}
    await client.close()


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_a_path_without_a_route_is_refused_without_an_error(
    start: Started, kind: str
) -> None:
    """The router of Channels raises; that is a page of the log and a 500."""
    server, _ = start(kind, "named")
    with pytest.raises(InvalidStatus) as refused:
        await Client.connect(server.ws.replace("/ws", "/elsewhere"))
    assert refused.value.response.status_code == 403
    assert "Traceback" not in server.log()
