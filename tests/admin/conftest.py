"""Fixtures of the admin tests."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from realtime.models import Connection, Node, Presence, Room
from realtime.store import presence
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
