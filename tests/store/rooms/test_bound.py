"""Rooms of the site's objects."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.fields import GenericRelation
from django.db import connections

from realtime import rooms
from realtime.models import Message, Room

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def order(database: str) -> Group:
    return Group.objects.create(name="seven")


def test_an_object_has_one_room(order: Group) -> None:
    """Which knows it."""
    room = rooms.room_for(order, title="Order 7")
    assert rooms.room_for(order, kind="public", title="other") == room
    assert (room.slug, room.kind, room.title) == (f"group-{order.pk}", "private", "Order 7")
    assert Room.objects.get().content_object == order


def test_objects_of_two_models_have_two_rooms(order: Group) -> None:
    """Though their keys are the same."""
    user = User.objects.create(pk=order.pk, username="ada")
    assert rooms.room_for(user, kind="public") != rooms.room_for(order)


def test_a_slug_that_is_taken_gets_an_ending(order: Group) -> None:
    """A user may have made a room of this name."""
    taken = Room.objects.create(slug=f"group-{order.pk}")
    room = rooms.room_for(order)
    assert room.slug.startswith(f"{taken.slug}-")
    assert rooms.room_for(order) == room


async def test_the_async_twin_does_the_same(order: Group) -> None:
    room = await rooms.aroom_for(order, kind="public")
    assert (await rooms.aroom_for(order), room.kind) == (room, "public")


def test_what_cannot_have_a_room_is_refused(order: Group) -> None:
    with pytest.raises(ValueError, match="save it"):
        rooms.room_for(Group(name="new"))
    for kind in ("direct", "secret"):
        with pytest.raises(ValueError, match="public"):
            rooms.room_for(order, kind=kind)


def test_of_several_processes_one_makes_the_room(order: Group) -> None:
    def find(_: int) -> Any:
        try:
            return rooms.room_for(order).pk
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(find, range(8)))) == 1


def test_the_room_outlives_its_object(order: Group) -> None:
    """Then it is about nothing."""
    room = rooms.room_for(order)
    order.delete()
    assert Room.objects.get(pk=room.pk).content_object is None


@pytest.fixture
def related() -> Iterator[None]:
    """As if the model had a `GenericRelation`."""
    field: Any = GenericRelation("realtime.Room")
    field.contribute_to_class(Group, "chat")
    yield
    Group._meta.private_fields.remove(field)
    del Group.chat  # type: ignore[attr-defined]
    Group._meta._expire_cache()  # type: ignore[attr-defined]


def test_a_relation_deletes_the_room_with_its_object(related: None, order: Group) -> None:
    """And all that was said in it."""
    from realtime import push

    push.room(rooms.room_for(order)).message("hi", username="CI")
    order.delete()
    assert not Room.objects.exists()
    assert not Message.objects.exists()
