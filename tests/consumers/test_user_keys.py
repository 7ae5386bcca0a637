"""Primary keys of users that are text."""

from typing import Any

import pytest

from realtime import push
from realtime.engine.database.executor import Database
from realtime.engine.engine import Engine
from realtime.models import Room
from realtime.store.accounts.identity import Identity, fault_of_key
from realtime.testing import connect
from realtime.wire.errors import CommandError, Disconnect


class Person:
    """A user of some middleware, or of a site's own model."""

    is_authenticated = True

    def __init__(self, pk: Any) -> None:
        self.pk = pk

    def get_username(self) -> str:
        return "person"


async def refused(pk: str) -> str:
    """What a user with this key is told."""
    with pytest.raises(Disconnect) as caught:
        async with connect(Person(pk)):
            pass
    assert (caught.value.code, caught.value.reconnect) == (4500, False)
    return caught.value.reason


@pytest.mark.parametrize("key", ["guest:1", "guest:", "site:CI"])
async def test_a_user_cannot_pass_for_a_guest_or_the_site(engine: Engine, key: str) -> None:
    assert "must not begin with 'guest:' or 'site:'" in await refused(key)


async def test_a_key_that_the_tables_cannot_hold_is_refused_before_it_breaks_others(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL the presence of the whole process would fail with it."""
    monkeypatch.setattr(Database, "is_sqlite", property(lambda self: False))
    assert "at most 150 characters" in await refused("x" * 151)


@pytest.mark.parametrize("key", ["x" * 150, "Guest:1", "user|guest:1", "a@b.example"])
async def test_other_keys_are_welcome(engine: Engine, key: str) -> None:
    async with connect(Person(key)) as client:
        assert client.user_id == key
        await client.join("general")


@pytest.mark.parametrize("key", ["guest:1", "site:x"])
def test_nobody_is_pushed_as_somebody_else(database: str, room: Room, key: str) -> None:
    with pytest.raises(CommandError, match="must not begin"):
        push.room(room).message("hi", user=Person(key))


@pytest.mark.parametrize(
    ("key", "is_bounded", "is_good"),
    [("x" * 150, True, True), ("x" * 151, True, False), ("x" * 151, False, True)],
)
def test_sqlite_keeps_to_no_length(key: str, is_bounded: bool, is_good: bool) -> None:
    who = Identity(key, "x", Person(key))
    assert bool(fault_of_key(who, is_bounded=is_bounded)) is not is_good


def test_a_guest_has_the_key_of_a_guest() -> None:
    assert fault_of_key(Identity("guest:1", "x"), is_bounded=True) == ""
