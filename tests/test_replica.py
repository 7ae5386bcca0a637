"""A site whose routers read from a replica, which lags: here it is empty, or reading it raises."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from pytest_django import Settings
from pytest_django.plugin import DjangoDbBlocker

from harness.site import Sites
from realtime import moderation, push, rooms, testing
from realtime.auth import changes
from realtime.models import Connection, Membership, Message, Node, Report, Room, Sanction
from realtime.store import presence
from realtime.store.database.primary import reading_primary
from realtime.store.messages.drafts import Draft
from realtime.store.outbox import room_numbering
from realtime.store.presence import LiveNode
from tests import test_permissions
from tests.store.conftest import another_database, empty, switched


class Lagging:
    """As the router in Django's documentation: read from the replica, write to the primary."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True


class Raising(Lagging):
    """Reading anything by it is an error."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        raise AssertionError(f"{model.__name__} is read by the router")


class Bare:
    """It says nothing of relations, so Django allows none between two databases."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"


@pytest.fixture
def primary(sites: Sites, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The default database, and an empty replica."""
    url = sites.database_url("sqlite")
    replica = sites.database_url("sqlite")
    with django_db_blocker.unblock(), switched(url), another_database("replica", replica):
        empty()
        yield url


@pytest.fixture(params=[Lagging, Raising, Bare])
def router(request: pytest.FixtureRequest, primary: str, settings: Settings) -> Any:
    settings.DATABASE_ROUTERS = [request.param()]
    settings.REALTIME = {**settings.REALTIME, "CREATE_ROOMS": "users"}
    return request.param


class Stage:
    """What the functions are called with."""

    def __init__(self) -> None:
        with reading_primary():
            users = get_user_model().objects
            self.ada, self.bob, self.eve = map(users.create_user, ("ada", "bob", "eve"))
            self.staff = users.create_user("staff", is_staff=True, is_superuser=True)
            self.room = Room.objects.create(slug="general", kind="private")
            self.other = Room.objects.create(slug="other")
            Membership.objects.create(room=self.room, user=self.ada, role="owner")
            Membership.objects.create(room=self.room, user=self.bob)
            [stored] = room_numbering.append(
                [Draft(room_id=self.room.pk, content="a", sender=str(self.bob.pk), username="bob")]
            )
            self.message = stored.state.id
            for kind in ("ban", "mute"):
                Sanction.objects.create(kind=kind, room=self.room, user_key=str(self.eve.pk))
            self.invitation = rooms.invitation(self.room, by=self.ada)


FUNCTIONS: dict[str, Callable[[Stage], Any]] = {
    "push.room message": lambda s: push.room("general").message("hi", user=s.ada, nonce="n"),
    "push.room send": lambda s: push.room("general").send({}),
    "push.room notice": lambda s: push.room(s.room).notice("hi"),
    "push.room disconnect": lambda s: push.room("general").disconnect(),
    "push.user": lambda s: push.user(s.ada).send({}),
    "push.connection": lambda s: push.connection("a.1").disconnect(),
    "push.everyone": lambda s: push.everyone().notice("hi"),
    "moderation.kick": lambda s: moderation.kick(s.room, s.bob, by=s.staff),
    "moderation.ban": lambda s: moderation.ban(s.room, s.bob, by=s.staff),
    "moderation.ban the site": lambda s: moderation.ban(None, s.bob, by=s.staff),
    "moderation.mute": lambda s: moderation.mute(s.room, s.bob, by=s.staff, seconds=9),
    "moderation.move": lambda s: moderation.move(s.room, s.other, [s.ada], by=s.staff),
    "moderation.unban": lambda s: _one(moderation.unban(s.room, s.eve, by=s.staff)),
    "moderation.unmute": lambda s: _one(moderation.unmute(s.room, s.eve, by=s.staff)),
    "moderation.delete": lambda s: moderation.delete(s.message, by=s.staff),
    "rooms.create": lambda s: rooms.create(s.ada, "New", kind="public"),
    "rooms.direct": lambda s: rooms.direct(s.ada, s.bob),
    "rooms.add": lambda s: rooms.add(s.room, s.staff, by=s.ada),
    "rooms.invitation": lambda s: rooms.invitation(s.room, by=s.ada),
    "rooms.accept": lambda s: rooms.accept(s.invitation, s.staff),
    "rooms.room_for": lambda s: rooms.room_for(s.ada),
    "rooms.leave": lambda s: rooms.leave(s.room, s.bob),
    "rooms.block": lambda s: rooms.block(s.ada, s.bob),
    "rooms.unblock": lambda s: rooms.unblock(s.ada, s.bob),
    "rooms.blocked": lambda s: rooms.blocked(s.ada),
    "rooms.refresh_rights": lambda s: rooms.refresh_rights(s.room),
    "changes.revoke": lambda s: changes.revoke("jti", 4e9),
    "changes.refresh_rights": lambda s: changes.refresh_rights(),
}


def _one(number: int) -> None:
    assert number == 1


def test_every_public_function_is_tried() -> None:
    sync = {
        f"{module.__name__.removeprefix('realtime.')}.{name}"
        for module in (push, moderation, rooms)
        for name in module.__all__
        if name[0].islower() and not (name[0] == "a" and name[1:] in module.__all__)
    }
    assert {name.split()[0] for name in FUNCTIONS} >= sync


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_reads_only_what_is_written(
    router: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.engine.notify.publisher.is_server", True)
    stage = Stage()
    FUNCTIONS[name](stage)


def test_a_room_that_was_read_from_a_replica_will_do(router: Any) -> None:
    """The caller has read it as its routers say."""
    stage = Stage()
    stage.room._state.db = stage.bob._state.db = stage.staff._state.db = "replica"
    moderation.ban(stage.room, stage.bob, by=stage.staff)
    moderation.kick(stage.room, stage.bob, by=stage.staff)
    rooms.add(stage.room, stage.staff, by=stage.ada)
    with reading_primary():
        keys = set(Sanction.objects.values_list("user_key", flat=True))
        assert keys == {str(stage.eve.pk), str(stage.bob.pk)}


COLUMNS = [("public", "guest"), ("private", "owner"), ("private", "staff"), ("direct", "staff")]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("kind", "column"), COLUMNS)
async def test_every_command_does_the_same_as_without_a_router(
    router: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch, kind: str, column: str
) -> None:
    """The tables of docs/permissions.md hold; permissions are read too."""
    settings.REALTIME = {
        name: value for name, value in settings.REALTIME.items() if name != "CREATE_ROOMS"
    }
    for name in ("_people", "_set", "_say", "_state"):
        monkeypatch.setattr(test_permissions, name, _apart(getattr(test_permissions, name)))
    await test_permissions.test_what_happens_is_what_the_document_says("", kind, column)


def _apart(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        with reading_primary():
            return function(*args)

    return run


def test_a_permission_that_was_given_a_moment_ago_counts(router: Any) -> None:
    """The replica does not know it yet."""
    stage = Stage()
    with reading_primary():
        new = get_user_model().objects.create_user("new", is_staff=True)
        new.user_permissions.add(Permission.objects.get(codename="moderate_room"))
    stage.room._state.db = "replica"
    token = rooms.invitation(stage.room, by=new)
    assert rooms.accept(token, stage.staff).pk == stage.room.pk


# The admin: Django's own pages read sessions and users by the router, which then has to know them.


class OursOnly(Lagging):
    """Reading one of our tables by the router finds nothing."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "replica" if model._meta.app_label == "realtime" else "default"


@pytest.fixture
def admin(primary: str, settings: Settings) -> Client:
    settings.DATABASE_ROUTERS = [OursOnly()]
    settings.ROOT_URLCONF = "project.urls"
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"))
    return client


def _act(client: Client, model: str, action: str, pk: Any, **fields: Any) -> str:
    page = reverse(f"admin:realtime_{model}_changelist")
    answer = client.post(page, {"action": action, "_selected_action": [pk], **fields}, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_admin_shows_and_changes_what_is_written(admin: Client) -> None:
    stage = Stage()
    for model, pk in (("room", stage.room.pk), ("message", stage.message)):
        assert admin.get(reverse(f"admin:realtime_{model}_changelist")).status_code == 200
        page = admin.get(reverse(f"admin:realtime_{model}_change", args=[pk]))
        assert page.status_code == 200


def test_the_actions_of_the_admin_reach_what_is_written(admin: Client) -> None:
    stage = Stage()
    with reading_primary():
        presence.rebuild(LiveNode("node", "host", 1, 60), [], [])
        one = Connection.objects.create(
            id="node.1",
            node=Node.objects.get(),
            user=stage.bob,
            user_key=str(stage.bob.pk),
            username="bob",
        )
        Report.objects.create(message_id=stage.message, reporter="9", username="x")
        report = Report.objects.get()
        sanction = Sanction.objects.filter(kind="ban").get()
    _act(admin, "connection", "mute", one.pk, is_sure="on", reason="r", room=stage.room.pk)
    _act(admin, "report", "dismiss", report.pk, is_sure="on")
    _act(admin, "sanction", "delete_selected", sanction.pk, post="yes")
    _act(admin, "message", "delete_text", stage.message, is_sure="on")
    with reading_primary():
        mutes = Sanction.objects.filter(kind="mute")
        assert str(stage.bob.pk) in set(mutes.values_list("user_key", flat=True))
        assert not Sanction.objects.filter(pk=sanction.pk).exists()
        assert Report.objects.get().resolved_at is not None
        assert Message.objects.get().content == ""


async def test_the_engine_runs_on_what_is_written(router: Any) -> None:
    """Its own work and that of its threads: leases, presence, positions."""
    async with testing.engine(DB_THREADS=2, PULSE_SECONDS=0.05) as engine:
        for _ in range(10):
            await asyncio.sleep(0.05)
            assert engine.is_current
