"""The demo's pages, as a browser without JavaScript gets them."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from project.seed import seed
from realtime import rooms
from realtime.models import Membership, Room

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def some_rooms(db: None) -> None:
    seed()


@pytest.fixture
def dora() -> User:
    return User.objects.create_user("dora", password="dora's password")


class Inline(HTMLParser):
    """Collects what a strict content policy would block."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        is_data = given.get("type") == "application/json"
        if tag == "style" or (tag == "script" and "src" not in given and not is_data):
            self.found.append(tag)
        self.found += [name for name in given if name == "style" or name.startswith("on")]
        for name in ("src", "href"):
            if (given.get(name) or "/").startswith(("http", "//", "javascript:", "data:")):
                self.found.append(f"{tag} {given[name]}")


def config_of(html: str) -> Any:
    match = re.search(r'<script id="chat-config" type="application/json">(.*?)</script>', html)
    assert match
    return json.loads(match[1])


def page(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def test_home_is_the_first_room(client: Client) -> None:
    """A visitor sees the public rooms and starts in General."""
    config = config_of(page(client, "/"))
    assert config["room"] == "general"
    assert [room["title"] for room in config["rooms"]] == ["General", "Random", "Help"]
    assert config["user"] is None


def test_room_has_an_address(client: Client) -> None:
    """A room can be linked to."""
    html = page(client, "/rooms/random/")
    assert config_of(html)["room"] == "random"
    assert "<title>Random</title>" in html


def test_site_without_rooms_has_a_page(client: Client) -> None:
    """Nothing to show is no error."""
    Room.objects.all().delete()
    assert config_of(page(client, "/"))["room"] is None


def test_private_room_is_there_for_its_members_only(client: Client, dora: User) -> None:
    """For everybody else it does not exist."""
    room = Room.objects.create(slug="secret", title="Secret plans", kind=Room.Kind.PRIVATE)
    assert client.get("/rooms/secret/").status_code == 404
    client.force_login(dora)
    assert client.get("/rooms/secret/").status_code == 404
    Membership.objects.create(room=room, user=dora)
    assert "Secret plans" in page(client, "/rooms/secret/")
    other = Client()
    assert "Secret plans" not in page(other, "/")


def test_an_invitation_is_taken_by_its_button(client: Client, dora: User) -> None:
    """Not by looking at the link, and not by somebody unknown; a void one says so."""
    owner = User.objects.create_user("owner")
    room = Room.objects.create(slug="secret", kind=Room.Kind.PRIVATE)
    Membership.objects.create(room=room, user=owner, role="owner")
    address = f"/invitations/{rooms.invitation(room, by=owner)}/"
    assert client.get(address).headers["Location"].startswith("/login/")
    client.force_login(dora)
    assert "as dora" in page(client, address)
    assert not Membership.objects.filter(user=dora).exists()
    assert client.post(address).headers["Location"] == "/rooms/secret/"
    assert Membership.objects.get(user=dora).role == "member"
    Membership.objects.filter(user=owner).delete()
    assert "no longer valid" in client.post(address).content.decode()


def test_a_direct_room_is_on_the_page_of_its_two_users(client: Client, dora: User) -> None:
    """And of nobody else."""
    room = rooms.direct(dora, User.objects.create_user("owner"))
    assert client.get(f"/rooms/{room.slug}/").status_code == 404
    client.force_login(dora)
    config = config_of(page(client, f"/rooms/{room.slug}/"))
    assert (config["room"], config["rooms"][0]["title"]) == (room.slug, "owner")


def test_title_is_text(client: Client) -> None:
    """Neither the page nor its configuration lets a title out."""
    title = "</script><script>alert(1)</script>"
    Room.objects.create(slug="odd", title=title)
    html = page(client, "/rooms/odd/")
    assert title not in html
    assert config_of(html)["rooms"][-1]["title"] == title


@pytest.mark.parametrize("address", ["/", "/rooms/help/", "/login/", "/nowhere/"])
def test_page_has_a_strict_policy_and_nothing_inline(client: Client, address: str) -> None:
    """All scripts and styles are files of the site."""
    answer = client.get(address)
    policy = answer["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "connect-src 'self' ws://testserver wss://testserver" in policy
    assert "unsafe" not in policy
    inline = Inline()
    inline.feed(answer.content.decode())
    assert inline.found == []


def test_foreign_host_is_refused(client: Client) -> None:
    """The Host header, which becomes part of the policy, is one of the site's own."""
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_user_logs_in_and_out(client: Client, dora: User) -> None:
    """Back to the room they came from, by the page's own form."""
    form = {"username": "dora", "password": "dora's password", "next": "/rooms/help/"}
    assert client.post("/login/", form).headers["Location"] == "/rooms/help/"
    html = page(client, "/rooms/help/")
    assert config_of(html)["user"] == "dora"
    assert 'action="/logout/"' in html
    assert client.post("/logout/").headers["Location"] == "/"
    assert config_of(page(client, "/"))["user"] is None


def test_wrong_password_is_told(client: Client, dora: User) -> None:
    """And the name stays in the form."""
    answer = client.post("/login/", {"username": "dora", "password": "wrong"})
    html = answer.content.decode()
    assert "Please enter a correct username and password" in html
    assert 'value="dora"' in html


@pytest.fixture
def visitor() -> Client:
    return Client(enforce_csrf_checks=True)


def test_forms_need_their_token(visitor: Client) -> None:
    """Another site cannot log a visitor in."""
    assert visitor.post("/login/", {"username": "a", "password": "b"}).status_code == 403


@pytest.mark.parametrize(
    "name",
    ["realtime/client.js", "chat/messages.js", "chat/chat.js", "chat/chat.css", "chat/icon.svg"],
)
def test_static_file_is_served_without_collectstatic(client: Client, name: str) -> None:
    """In one piece: Django warns about plain streams under ASGI."""
    answer = client.get(f"/static/{name}")
    assert answer.status_code == 200
    assert not answer.streaming
    assert len(answer.content) == int(answer["Content-Length"]) > 0
    again = client.get(f"/static/{name}", headers={"if-none-match": answer["ETag"]})
    assert again.status_code == 304


def test_admin_has_its_icon(client: Client) -> None:
    """Browsers ask for it on pages that name none."""
    assert client.get("/favicon.ico").headers["Location"].endswith("icon.svg")


def listed(client: Client, **query: Any) -> tuple[list[str], int | None]:
    """Titles of a page of the list, and where it goes on."""
    found = client.get("/rooms/", query).json()
    return [room["title"] for room in found["rooms"]], found["next"]


def test_the_list_of_rooms_comes_in_pages(client: Client) -> None:
    """A site may have 100,000."""
    Room.objects.bulk_create(Room(slug=f"r{n}", title=f"Room {n}") for n in range(120))
    config = config_of(page(client, "/"))
    assert (len(config["rooms"]), config["rooms"][0]["title"]) == (50, "General")
    found, after = [room["title"] for room in config["rooms"]], config["next"]
    while after:
        more, after = listed(client, after=after)
        assert len(more) <= 50
        found += more
    assert found[3:] == [f"Room {n}" for n in range(120)]


def test_a_room_beyond_the_first_page_is_on_its_own_page(client: Client) -> None:
    Room.objects.bulk_create(Room(slug=f"r{n}", title=f"Room {n}") for n in range(120))
    html = page(client, "/rooms/r119/")
    assert config_of(html)["rooms"][0]["title"] == "Room 119"


def test_rooms_are_found_by_what_they_are_called(client: Client, dora: User) -> None:
    """A direct room by the other user; what one may not see is not found."""
    Room.objects.create(slug="plans", title="Secret plans", kind=Room.Kind.PRIVATE)
    own = Room.objects.create(slug="own", title="Secret of dora", kind=Room.Kind.PRIVATE)
    Membership.objects.create(room=own, user=dora)
    rooms.direct(dora, User.objects.create_user("owner"))
    assert listed(client, q="secret") == ([], None)
    client.force_login(dora)
    assert listed(client, q="SECRET") == (["Secret of dora"], None)
    assert listed(client, q="owne") == (["owner"], None)
    assert listed(client, q="rand") == (["Random"], None)


@pytest.mark.parametrize("after", ["x", "-1", "9" * 30, "٣", "1\0"])
def test_a_page_that_is_not_there_is_the_first_one(client: Client, after: str) -> None:
    """Nonsense is no error."""
    assert listed(client, after=after, q="\0")[0] == ["General", "Random", "Help"]
