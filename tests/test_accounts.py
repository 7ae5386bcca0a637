"""Users who go or change their name, and what is removed after a while."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import models, transaction
from django.db.models.signals import post_delete
from django.utils import timezone, translation
from pytest_django import Settings

from realtime import accounts, moderation, retention, rooms, testing
from realtime.consumers import ChatConsumer
from realtime.models import Block, Log, Membership, Message, Report, Room, Sanction
from realtime.store.accounts.identity import Identity
from realtime.store.messages import history
from realtime.store.messages.drafts import Draft
from realtime.store.moderation import erasing
from realtime.store.outbox import room_numbering
from realtime.testing import Client, connect
from realtime.wire.errors import CommandError
from tests.consumers.conftest import ada, bob, database, room, sqlite_url

__all__ = ["ada", "bob", "database", "room", "sqlite_url"]


def say(room: Room, who: Any, *contents: str) -> list[int]:
    identity = who if isinstance(who, Identity) else Identity.of(who)
    drafts = [Draft.by(identity, room.pk, one, data={"x": one}, nonce=one) for one in contents]
    return [stored.state.id for stored in room_numbering.append(drafts)]


def rows_with(text: str) -> list[str]:
    """Where a text stands in any text column of the package."""
    found = []
    for model in apps.get_app_config("realtime").get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, (models.CharField, models.TextField, models.JSONField)):
                values = model._default_manager.values_list(field.name, flat=True)
                found += [f"{model.__name__}.{field.name}" for one in values if text in str(one)]
    return found


def test_nothing_of_an_erased_user_is_left(room: Room, ada: Any, bob: Any) -> None:
    """No text, data, nonce or name in any row; others' messages stay as they are."""
    ada.username = "secret-ada"
    ada.save()
    Membership.objects.create(room=room, user=ada, read_seq=1)
    mine = say(room, ada, "secret one", "secret two")
    [other] = say(room, bob, "hello")
    moderation.delete(mine[1])
    rooms.block(ada, bob)
    rooms.block(bob, ada)
    Report.objects.create(
        message_id=other, reporter=str(ada.pk), username="secret-ada", reason="secret"
    )
    moderation.mute(room, ada)
    moderation.ban(room, ada, seconds=60)
    Sanction.objects.filter(kind="ban").update(ends_at=timezone.now())
    assert accounts.erase_user(ada) == 2
    assert rows_with("secret") == []
    names = list(Message.objects.order_by("seq").values_list("username", "content"))
    assert names == [("Deleted user", ""), ("Deleted user", ""), ("bob", "hello")]
    assert not Membership.objects.filter(user=ada).exists()
    assert [one.user_id for one in Block.objects.all()] == [bob.pk]
    assert [one.kind for one in Sanction.objects.all()] == ["mute"]
    assert accounts.erase_user(ada) == 0


@pytest.fixture
def erased_on_delete(database: str) -> Iterator[None]:
    """What a site writes to erase whoever is deleted."""

    def erase(instance: Any, **_: Any) -> None:
        accounts.erase_user(instance)

    post_delete.connect(erase, sender=get_user_model())
    yield
    post_delete.disconnect(erase, sender=get_user_model())


@pytest.mark.usefixtures("erased_on_delete")
def test_a_signal_may_erase_who_is_deleted(room: Room, ada: Any, bob: Any) -> None:
    """And not, where the deletion is taken back."""
    say(room, ada, "secret")

    def delete() -> None:
        get_user_model().objects.get(pk=ada.pk).delete()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        transaction.atomic()(delete)()
    assert Message.objects.filter(content="secret").exists()
    get_user_model().objects.get(pk=ada.pk).delete()
    assert rows_with("secret") == []


def test_a_user_who_is_gone_is_erased_by_the_key(room: Room, ada: Any) -> None:
    say(room, ada, "secret")
    key = str(ada.pk)
    ada.delete()
    assert rows_with("secret") != []
    assert accounts.erase_user(f"0{key}") == 1
    assert rows_with("secret") == []


def test_a_user_is_renamed_in_what_was_said(room: Room, ada: Any, bob: Any) -> None:
    [first] = say(room, ada, "hello")
    say(room, bob, "hi")
    assert accounts.rename_user(ada, "Ada L.") == 1
    assert accounts.rename_user(ada, "Ada L.") == 0
    states = history.page(room.pk, 99, 9)[0]
    assert [(one.username, one.content) for one in states] == [("Ada L.", "hello"), ("bob", "hi")]
    assert history.since(room.pk, 2, 9).states[0].id == first
    with pytest.raises(CommandError, match="unknown_user"):
        accounts.rename_user("guest:", "x")


@pytest.mark.parametrize("is_told", [True, False])
async def test_open_clients_hear_of_it(
    room: Room, ada: Any, bob: Any, monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    """One by one; of too many by another epoch, with which everybody joins again."""
    monkeypatch.setattr(erasing, "MOST_EVENTS", 2 if is_told else 1)
    monkeypatch.setattr(erasing, "CHUNK", 1)
    async with (
        testing.engine(GUESTS=True, PULSE_SECONDS=0.2),
        connect(application=ChatConsumer.as_asgi(), user=bob) as socket,
    ):
        await sync_to_async(say)(room, ada, "secret one", "secret two")
        await socket.join("general")
        before = len(socket.arrived)
        assert await accounts.aerase_user(ada) == 2
        if is_told:
            for _ in range(2):
                message = (await socket.next("changed"))["message"]
                assert (message["deleted"], message["username"]) == (True, "Deleted user")
        else:
            await socket.next("resync")
        joined = await socket.join("general")
        assert [one["username"] for one in joined["messages"]] == ["Deleted user"] * 2
        assert "secret" not in str(socket.arrived[before:])


def test_positions_stay_gapless(room: Room, ada: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "CHUNK", 2)
    say(room, ada, *"abcde")
    accounts.erase_user(ada)
    positions = sorted(Message.objects.values_list("changed_seq", flat=True))
    assert positions == [6, 7, 8, 9, 10]
    assert Log.objects.get(room=room).last_seq == 10
    assert say(room, ada, "a") == [Message.objects.order_by("seq")[0].pk]


@pytest.mark.parametrize(("days", "left"), [(0, 3), (1, 2), (30, 2), (60, 3)])
def test_what_guests_wrote_is_erased_after_a_while(
    room: Room, ada: Any, settings: Settings, days: float, left: int
) -> None:
    """Not what users wrote, and nothing of the last week."""
    settings.REALTIME = {"GUEST_MESSAGE_DAYS": days}
    guest = Identity("guest:1", "Eve")
    old = [*say(room, guest, "old"), *say(room, ada, "by ada")]
    say(room, guest, "new")
    Message.objects.filter(pk__in=old).update(created_at=timezone.now() - timedelta(days=40))
    Message.objects.filter(content="new").update(created_at=timezone.now() - timedelta(days=6))
    assert retention.prune().guest_messages == 3 - left
    assert Message.objects.exclude(content="").count() == left
    names = set(Message.objects.filter(content="").values_list("username", flat=True))
    assert names == ({"Guest"} if left == 2 else set())


def test_what_is_erased_stays_so_in_every_language(
    room: Room, ada: Any, settings: Settings
) -> None:
    """The stored names are the same for all readers: another language rewrites no message."""
    settings.REALTIME = {"GUEST_MESSAGE_DAYS": 30}
    say(room, Identity("guest:1", "Eve"), "by a guest")
    say(room, ada, "by ada")
    Message.objects.update(created_at=timezone.now() - timedelta(days=40))
    with translation.override("en"):
        assert (retention.prune().guest_messages, accounts.erase_user(ada)) == (1, 1)
    with translation.override("de"):
        assert (retention.prune().guest_messages, accounts.erase_user(ada)) == (0, 0)
    names = Message.objects.order_by("seq").values_list("username", flat=True)
    assert list(names) == ["Guest", "Deleted user"]


def test_what_is_over_is_removed(room: Room, ada: Any) -> None:
    """Closed reports, ended sanctions, and nonces that earlier releases left in tombstones."""
    first, second = say(room, ada, "one", "two")
    Message.objects.filter(pk=first).update(deleted_at=timezone.now())
    long_ago = timezone.now() - timedelta(days=31)
    for number, resolved_at in enumerate([None, timezone.now(), long_ago]):
        Report.objects.create(
            message_id=second, reporter=f"guest:{number}", username="G", resolved_at=resolved_at
        )
    moderation.ban(room, ada, seconds=60)
    Sanction.objects.update(ends_at=long_ago)
    assert retention.prune() == (0, 1, 1, 1, 0, 0, 0)
    assert retention.prune() == (0, 0, 0, 0, 0, 0, 0)
    assert Message.objects.get(pk=first).nonce.startswith("~")


async def test_bytes_have_an_allowance(room: Room, ada: Any) -> None:
    """A user's own; all guests of an address share one that is twice as large."""
    text = "ä" * 450  # 900 bytes, and 200 for the row
    async with testing.engine(GUESTS=True, MESSAGE_BYTES_PER_HOUR=4600):

        async def written(socket: Client, **fields: Any) -> int:
            await socket.join("general")
            for number in range(20):
                reply = await socket.ask("message", room="general", content=text, **fields)
                if reply["type"] == "error":
                    assert (reply["code"], reply["retry_after"] > 1) == ("rate_limited", True)
                    return number
            return 20

        async with connect(ada) as one:
            assert await written(one) == 4
        guests = []
        for number in range(4):
            async with connect(client=["8.8.4.4", 1]) as guest:
                fields = {"data": {"x": "y" * 1100}} if number == 0 else {}
                guests.append(await written(guest, **fields))
        assert guests == [2, 4, 0, 0]
