"""Fixtures of the admin tests."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from realtime.models import Connection, Message, Node, Presence, Room
from realtime.store import presence
from realtime.store.messages.drafts import Draft
from realtime.store.outbox import room_numbering
from realtime.store.presence import LiveNode

LIVE = LiveNode("live", "host", 1, lease_seconds=60)
LOST = LiveNode("lost", "host", 2, lease_seconds=-1)

Connect = Callable[..., Connection]


@pytest.fixture
def room(db: None) -> Room:
    return Room.objects.create(slug="general", title="General")


@pytest.fixture
def connect(db: None) -> Connect:
    """Makes a connection: `connect("ada", room, node=LOST)`."""
    for node in (LIVE, LOST):
        presence.rebuild(node, [], [])

    def make(
        name: str, *rooms: Room, node: LiveNode = LIVE, user: User | None = None
    ) -> Connection:
        number = Connection.objects.count() + 1
        one = Connection.objects.create(
            id=f"{node.id}.{number}",
            node=Node.objects.get(pk=node.id),
            user=user,
            user_key=str(user.pk) if user else f"guest:{name}",
            username=name,
            address="203.0.113.9",
        )
        for room in rooms:
            Presence.objects.create(connection=one, room=room, user_key=one.user_key, username=name)
        return one

    return make


@pytest.fixture
def staff(db: None) -> Callable[..., Client]:
    """Signs somebody in who has exactly these permissions: `staff("view_message")`."""

    def sign_in(*codenames: str) -> Client:
        user = User.objects.create_user("staff", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(user)
        return client

    return sign_in


def say(room: Room, content: str, username: str = "Ada", sender: str = "7") -> Message:
    """A message that stands in the log."""
    draft = Draft(room_id=room.pk, content=content, sender=sender, username=username)
    [stored] = room_numbering.append([draft])
    return Message.objects.get(pk=stored.state.id)


def act(client: Client, url: str, action: str, *chosen: object, **data: object) -> Any:
    """Use an action of a list on some rows, and follow where it leads."""
    given = {"action": action, "_selected_action": chosen, **data}
    return client.post(url, given, follow=True)


def offered(client: Client, url: str) -> set[str]:
    """The actions that somebody is offered on a list."""
    form = client.get(url).context["action_form"]
    return {name for name, _ in form.fields["action"].choices if name} if form else set()


def listed(client: Client, url: str, **query: object) -> list[Any]:
    """The rows of a list."""
    response = client.get(url, query)
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def entries() -> list[tuple[int, str]]:
    """What the log says was done, and by whom."""
    rows = LogEntry.objects.order_by("pk").values_list("action_flag", "user__username")
    return list(rows)


def until(moment: datetime) -> dict[str, str]:
    """An end, as its two fields take it."""
    return {"ends_at_0": f"{moment:%Y-%m-%d}", "ends_at_1": f"{moment:%H:%M:%S}"}
