"""Live lists: rows are published as they change, and told as deleted where they leave."""

import re
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread
from types import SimpleNamespace
from typing import Any, Self

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connection, connections, models, transaction
from django.db.models.signals import post_save
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from realtime.models import Entry, Membership, Room, TopicOccupancy
from realtime.store.accounts.identity import Identity
from realtime.topics import Event, Topic
from realtime.topics.live import LiveTopic, changing, publish_rows
from realtime.topics.registry import registry
from realtime.topics.rows import watch
from tests.topics.lists import disconnect
from tests.topics.test_html import locmem

with registry.isolated():  # other tests save rooms too

    class RoomRow(Event):
        """What is published of a room."""

        slug: str
        title: str

    class OccupiedRow(Event):
        """What is published of an occupied topic."""

        topic: str

    class RoomList(LiveTopic):
        """The rooms of a kind, without those that are read-only."""

        path = "live/<slug:kind>"
        list_of = Room
        row = RoomRow
        keep = timedelta(days=1)
        kind: str

        @classmethod
        def queryset(cls) -> Any:
            return Room.objects.filter(is_read_only=False)

    class RoomsOfUser(LiveTopic):
        """The rooms of a user, who is in another table."""

        path = "live-of/<int:user_id>"
        list_of = Room
        row = RoomRow
        keep = timedelta(days=1)
        user_id: int

        @classmethod
        def topics_of(cls, row: Room) -> Iterable[Self]:
            return [cls(user_id=one.user_id) for one in Membership.objects.filter(room=row)]

        def rows(self) -> Any:
            return Room.objects.filter(memberships__user_id=self.user_id)

    class RoomCards(LiveTopic):
        """The same rows as HTML."""

        path = "live-cards"
        list_of = Room
        template = "room.html"
        keep = timedelta(days=1)

    class OccupiedList(LiveTopic):
        """Rows whose primary key is text, which may be longer than a key."""

        path = "live-occupied"
        list_of = TopicOccupancy
        row = OccupiedRow
        keep = timedelta(days=1)

        @classmethod
        def key_of_row(cls, pk: Any) -> str:
            return f"occupied-{pk}"

        @classmethod
        def pk_of(cls, key: str) -> Any:
            return key.removeprefix("occupied-")


DOCUMENT = Path(__file__).parents[2] / "docs/live-models.md"


class Lobby(Room):
    """A proxy."""

    class Meta:
        app_label = "shop"
        proxy = True


PUBLIC, PRIVATE = RoomList(kind="public"), RoomList(kind="private")
pytestmark = pytest.mark.usefixtures("database")


disconnect()


@pytest.fixture(autouse=True)
def lists(classes: Any) -> Iterator[None]:
    """The first list is known, in this module alone."""
    registry.add(RoomList)
    watch(Room)
    yield
    disconnect(Lobby)


def states(topic: LiveTopic = PUBLIC) -> dict[str, str]:
    """The values of a list: titles by slug."""
    return {found.data["slug"]: found.data["title"] for found in topic.values().values()}


def told(topic: LiveTopic = PUBLIC) -> list[tuple[str, bool]]:
    """The key of each entry in the order of the log, and whether it was deleted."""
    entries = Entry.objects.filter(log__name=topic.name).order_by("changed_seq")
    return [(str(one.key), one.is_deleted) for one in entries]


def test_rows_are_published_as_they_are_saved_and_deleted() -> None:
    room = Room.objects.create(slug="a", title="one")
    assert [(one.name, one.key) for one in PUBLIC.values().values()] == [("room_row", str(room.pk))]
    room.title = "two"
    room.save()
    assert states() == {"a": "two"}
    key = str(room.pk)
    room.delete()
    assert (states(), told()) == ({}, [(key, True)])


def test_only_the_fields_of_the_event_are_published() -> None:
    Room.objects.create(slug="a", invitation_key="secret")
    [value] = PUBLIC.values().values()
    assert value.data == {"slug": "a", "title": ""}


def test_a_row_whose_key_would_be_too_long_is_saved_and_in_no_list(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry.add(OccupiedList)
    watch(TopicOccupancy)
    try:
        row = TopicOccupancy.objects.create(topic="x" * 200)
        TopicOccupancy.objects.create(topic="y")
        row.save()
        publish_rows(TopicOccupancy.objects.all())
        with changing(TopicOccupancy.objects.all()) as rows:
            rows.update(since=timezone.now())
        row.delete()
        assert OccupiedList().reconcile() == 0
    finally:
        disconnect(TopicOccupancy)
    assert list(OccupiedList().values()) == ["occupied-y"]
    assert "OccupiedList leaves out a row of TopicOccupancy" in caplog.text


def test_a_rollback_publishes_nothing() -> None:
    with transaction.atomic():
        Room.objects.create(slug="a")
        transaction.set_rollback(True)
    assert not Entry.objects.exists()


def test_a_row_that_leaves_the_queryset_is_told_as_deleted() -> None:
    room = Room.objects.create(slug="a")
    room.is_read_only = True
    room.save()
    assert (states(), told()) == ({}, [(str(room.pk), True)])
    room.is_read_only = False
    room.save()
    assert states() == {"a": ""}


def test_a_row_moves_from_list_to_list() -> None:
    room = Room.objects.create(slug="a")
    room.kind = "private"
    room.save()
    assert (states(PUBLIC), states(PRIVATE)) == ({}, {"a": ""})
    assert told(PUBLIC) == [(str(room.pk), True)]


def test_an_outdated_instance_moves_the_row_from_where_it_is() -> None:
    """Where it was is read from the database."""
    outdated = Room.objects.create(slug="a")
    current = Room.objects.get()
    current.kind = "private"
    current.save()
    outdated.save()
    assert (states(PUBLIC), states(PRIVATE)) == ({"a": ""}, {})
    current.delete()  # it was loaded in the other list
    assert (states(PUBLIC), states(PRIVATE)) == ({}, {})


def test_a_row_that_is_saved_again_by_a_signal_leaves_its_list() -> None:
    """By a receiver of the site that was connected before."""

    def save_again(instance: Room, **_: Any) -> None:
        if not instance.title:
            instance.title = "made"
            instance.save()

    room = Room.objects.create(slug="a", title="one")
    disconnect()
    post_save.connect(save_again, sender=Room)
    watch(Room)
    try:
        room.kind, room.title = "private", ""
        room.save()
    finally:
        post_save.disconnect(save_again, sender=Room)
    assert (states(), states(PRIVATE)) == ({}, {"a": "made"})


def test_a_copy_of_a_row_whose_save_has_failed_leaves_that_row_alone() -> None:
    """The instance gets another primary key."""
    room = Room.objects.create(slug="a")
    Room.objects.create(slug="b")
    room.slug = "b"
    with suppress(IntegrityError), transaction.atomic():
        room.save()
    room.pk, room.slug = None, "c"
    room.save()
    assert states() == {"a": "", "b": "", "c": ""}


def test_the_deletion_of_a_row_that_is_older_than_the_class_is_told() -> None:
    """A page may show the row, though the list has no value of it."""
    with registry.isolated():
        room = Room.objects.create(slug="a")
    key = str(room.pk)
    room.delete()
    assert told() == [(key, True)]


def test_a_row_that_was_never_in_the_list_is_not_told() -> None:
    room = Room.objects.create(slug="a", is_read_only=True)
    room.save()
    room.delete()
    assert told() == []


def test_what_is_told_is_what_the_database_has() -> None:
    """Not what the instance says."""
    room = Room.objects.create(slug="a", title="one")
    room.title = "not saved"
    room.slow_seconds = 5
    room.save(update_fields=["slow_seconds"])
    assert states() == {"a": "one"}


def test_a_queryset_of_rows_is_deleted_with_signals() -> None:
    Room.objects.bulk_create([Room(slug="a"), Room(slug="b")])
    Room.objects.all().delete()
    assert [is_deleted for _, is_deleted in told()] == [True, True]


def test_rows_that_a_bulk_operation_has_written_are_published_by_a_call() -> None:
    rooms = Room.objects.bulk_create([Room(slug="a"), Room(slug="b", is_read_only=True)])
    assert states() == {}
    publish_rows(rooms)
    assert states() == {"a": ""}
    Room.objects.update(title="new")
    publish_rows(Room.objects.all())
    assert states() == {"a": "new"}
    Room.objects.update(is_read_only=True)
    publish_rows(Room.objects.all())
    assert states() == {}
    assert [key for key, _ in told()] == [str(rooms[0].pk)]  # the other one had no value


def test_a_bulk_update_may_move_rows() -> None:
    for slug in ("a", "b", "c"):
        Room.objects.create(slug=slug, title=slug)
    with changing(Room.objects.filter(slug__in=["a", "b"])) as rooms:
        assert rooms.update(kind="private") == 2
    assert (states(PUBLIC), states(PRIVATE)) == ({"c": "c"}, {"a": "a", "b": "b"})
    with changing(Room.objects.filter(slug="a")) as rooms:
        rooms._raw_delete(rooms.db)
    assert states(PRIVATE) == {"b": "b"}


def test_a_bulk_update_may_move_very_many_rows() -> None:
    """More than a query may have parameters."""
    Room.objects.bulk_create(Room(slug=f"r{number}", title="old") for number in range(1200))
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
    with changing(Room.objects.filter(title="old")) as rooms:
        assert rooms.update(title="new", kind="private") == 1200
        assert rooms.count() == 1200
    assert states(PRIVATE) == {f"r{number}": "new" for number in range(1200)}
    assert states(PUBLIC) == {}
    connection.close()


def test_a_block_may_change_its_rows_twice() -> None:
    """The first change may well end what has chosen them."""
    Room.objects.create(slug="a")
    with changing(Room.objects.filter(title="").order_by("pk")) as locked:
        locked.update(title="one")
        assert locked.update(slug="b") == 1
    assert states() == {"b": "one"}


def test_rows_that_another_process_has_changed_meanwhile_are_not_chosen() -> None:
    """They are chosen under their lock."""
    room = Room.objects.create(slug="a")
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer")
    begun = Barrier(2)

    def change() -> None:
        with transaction.atomic():
            Room.objects.filter(pk=room.pk).update(title="other")
            begun.wait(10)
            until_blocked()
        connections.close_all()

    thread = Thread(target=change)
    thread.start()
    begun.wait(10)
    with changing(Room.objects.filter(title="")) as locked:
        assert not locked
    thread.join(30)


def until_blocked() -> None:
    """Wait until another transaction waits for a lock."""
    deadline = time.monotonic() + 10
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waits")


def test_a_block_that_fails_changes_nothing() -> None:
    room = Room.objects.create(slug="a")
    with suppress(ZeroDivisionError), changing(Room.objects.all()) as rooms:
        rooms.update(kind="private")
        _ = 1 / 0
    room.refresh_from_db()
    assert (room.kind, states(PUBLIC)) == ("public", {"a": ""})


def test_a_row_may_be_in_many_lists() -> None:
    registry.add(RoomsOfUser)
    ada, bob = User.objects.create(username="ada"), User.objects.create(username="bob")
    room = Room.objects.create(slug="a")
    of_ada, of_bob = RoomsOfUser(user_id=ada.pk), RoomsOfUser(user_id=bob.pk)
    with changing(Room.objects.filter(pk=room.pk)):
        Membership.objects.create(room=room, user=ada)
        Membership.objects.create(room=room, user=bob)
    assert (states(of_ada), states(of_bob)) == ({"a": ""}, {"a": ""})
    with changing(Room.objects.filter(pk=room.pk)):
        Membership.objects.get(user=bob).delete()
    assert (states(of_ada), states(of_bob)) == ({"a": ""}, {})


def test_a_row_without_the_value_of_the_path_is_in_no_list() -> None:
    class ByCreator(RoomList):
        path = "live-by/<int:creator__id>"

    ada = User.objects.create(username="ada")
    room = Room.objects.create(slug="a")
    assert not Entry.objects.filter(log__name__startswith="live-by").exists()
    room.creator = ada
    room.save()
    made = ByCreator(creator__id=ada.pk)
    assert states(made) == {"a": ""}
    room.creator = None
    room.save()
    assert told(made) == [(str(room.pk), True)]


def test_a_row_with_a_value_that_no_path_can_have_is_in_no_list() -> None:
    """It fails no save: a column of text may well be empty."""

    class UserRow(Event):
        username: str

    class Family(LiveTopic):
        path = "family/<slug:last_name>"
        list_of = User
        row = UserRow
        keep = timedelta(days=1)

    ada = User(username="ada")
    for name in ("", "de la Cruz", "\n"):
        ada.last_name = "byron"
        ada.save()
        assert len(Family(last_name="byron").values()) == 1
        ada.last_name = name
        ada.save()
        assert not Family(last_name="byron").values()


def test_a_proxy_of_the_model_is_watched_too() -> None:
    """Django sends its signals with the proxy as their sender."""
    Lobby.objects.create(slug="a")
    assert states() == {"a": ""}


def test_rows_may_be_html(settings: Settings) -> None:
    registry.add(RoomCards)
    settings.TEMPLATES = locmem({"room.html": "<li id='room-{{ room.pk }}'>{{ row.title }}</li>"})
    room = Room.objects.create(slug="a", title="<b>")
    [value] = RoomCards().values().values()
    assert (value.name, value.key) == ("html", f"room-{room.pk}")
    assert value.data["html"] == f"<li id='room-{room.pk}'>&lt;b&gt;</li>"
    assert RoomCards().reconcile() == 0
    room.delete()
    assert RoomCards().values() == {}


def test_reconciling_publishes_what_differs() -> None:
    with registry.isolated():
        old = Room.objects.create(slug="old")
    room = Room.objects.create(slug="a", title="one")
    assert states() == {"a": "one"}
    assert PUBLIC.reconcile() == 1
    Room.objects.filter(pk=room.pk).update(title="two")
    Room.objects.filter(pk=old.pk).update(kind="private")
    assert PUBLIC.reconcile() == 2
    assert states() == {"a": "two"}
    Room.objects.all()._raw_delete("default")
    assert (PUBLIC.reconcile(), states(), PUBLIC.reconcile()) == (1, {}, 0)


def test_reconciling_leaves_other_values_alone() -> None:
    class Note(Event):
        text: str

    class Noted(RoomList):
        path = "live/<slug:kind>/noted"
        events = [Note]

    noted = Noted(kind="public")
    noted.set("7", Note("has the key of a row"))
    noted.set("note", Note("has a key of its own"))
    noted.refresh()
    assert noted.reconcile() == 0
    assert list(noted.values()) == ["7", "note"]


def test_the_rows_of_a_list_are_those_of_its_page() -> None:
    for kind in ("public", "private"):
        Room.objects.create(slug=kind, kind=kind)
    assert [room.slug for room in PUBLIC.rows()] == ["public"]


def test_a_save_asks_once_where_the_row_was_and_once_what_it_is() -> None:
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        room = Room.objects.create(slug="a")
    assert len(reads_of_list(queries)) == 1  # a new row was nowhere
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        room.save()
    assert len(reads_of_list(queries)) == 2


def reads_of_list(queries: CaptureQueriesContext) -> list[str]:
    """The queries with the filter of the list."""
    reads = [one["sql"] for one in queries if one["sql"].startswith("SELECT")]
    return [one for one in reads if "is_read_only" in one.partition(" WHERE ")[2]]


def test_models_without_a_list_are_left_alone() -> None:
    with CaptureQueriesContext(connection) as queries:
        Group.objects.create(name="a")
    assert len(queries) == 1


def test_the_last_of_two_concurrent_saves_is_published_last() -> None:
    """Without a transaction too: each reads the row after its write, under its lock."""
    room = Room.objects.create(slug="a")
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer")
    begun = Barrier(4)

    def save(title: str) -> None:
        mine = Room.objects.get(pk=room.pk)
        begun.wait(10)
        for number in range(10):
            mine.title = f"{title}{number}"
            mine.save()
        connections.close_all()

    threads = [Thread(target=save, args=[title]) for title in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    room.refresh_from_db()
    assert states() == {"a": room.title}


def test_a_permission_decides_who_may_subscribe() -> None:
    class Guarded(RoomList):
        path = "live-guarded/<slug:kind>"
        permission = "realtime.view_room"

    def may(user: User, kind: type[LiveTopic]) -> bool:
        return kind.made({"kind": "public"}, Identity.of(user)).may_subscribe()

    admin = User.objects.create(username="admin", is_superuser=True)
    ada = User.objects.create(username="ada")
    assert [may(user, Guarded) for user in (admin, ada)] == [True, False]
    assert not may(admin, RoomList)  # it says nothing


def test_a_class_that_says_too_little_is_told_so() -> None:
    class Nothing(LiveTopic):
        path = "nothing"
        keep = timedelta(days=1)

    with pytest.raises(ImproperlyConfigured, match="write `list_of = …`"):
        Nothing().rows()

    class Rowless(Nothing):
        path = "rowless"
        list_of = Room

    with pytest.raises(ImproperlyConfigured, match="write `row = …` or `template = …`"):
        Room.objects.create(slug="a")


def test_a_list_is_no_topic_of_an_object() -> None:
    assert isinstance(PUBLIC, Topic)
    assert RoomList.model is None


class Order(models.Model):
    """The model of the page in the documents."""

    customer = models.ForeignKey(User, models.CASCADE)
    total = models.DecimalField(max_digits=9, decimal_places=2)
    state = models.CharField(max_length=20, default="open")

    class Meta:
        app_label = "shop"


@pytest.fixture
def shop(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The app of that page."""
    monkeypatch.setitem(sys.modules, "shop.models", SimpleNamespace(Order=Order))  # type: ignore[arg-type]
    with connection.schema_editor() as editor:
        editor.create_model(Order)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Order)


class Place(models.Model):
    """A parent."""

    name = models.CharField(max_length=20)

    class Meta:
        app_label = "shop"


class Cafe(Place):
    """A child with a table of its own."""

    seats = models.IntegerField(default=0)

    class Meta:
        app_label = "shop"


@pytest.fixture
def places(database: str) -> Iterator[None]:
    """The tables of both, and a list of each."""
    with connection.schema_editor() as editor:
        editor.create_model(Place)
        editor.create_model(Cafe)
    yield
    disconnect(Place, Cafe)
    with connection.schema_editor() as editor:
        editor.delete_model(Cafe)
        editor.delete_model(Place)


def lists_of_places() -> list[LiveTopic]:
    class Named(Event):
        name: str

    class Places(LiveTopic):
        path = "places"
        list_of = Place
        row = Named
        keep = timedelta(days=1)

    class Cafes(Places):
        path = "cafes"
        list_of = Cafe

    return [Places(), Cafes()]


def names_in(topics: list[LiveTopic]) -> list[list[str]]:
    return [[one.data["name"] for one in topic.values().values()] for topic in topics]


@pytest.mark.usefixtures("places")
def test_a_row_in_two_tables_is_in_the_lists_of_both_models() -> None:
    """Whichever of the two is saved."""
    topics = lists_of_places()
    cafe = Cafe.objects.create(name="one")
    assert names_in(topics) == [["one"], ["one"]]
    place = Place.objects.get(pk=cafe.pk)
    place.name = "two"
    place.save()
    assert names_in(topics) == [["two"], ["two"]]
    cafe.delete()
    assert names_in(topics) == [[], []]
    Place.objects.create(name="no cafe")
    assert names_in(topics) == [["no cafe"], []]


@pytest.mark.usefixtures("places")
def test_a_parent_that_outlives_its_child_stays_in_its_list() -> None:
    topics = lists_of_places()
    cafe = Cafe.objects.create(name="one")
    cafe.delete(keep_parents=True)
    assert names_in(topics) == [["one"], []]


@pytest.mark.usefixtures("shop")
def test_the_page_in_the_documents_runs(settings: Settings) -> None:
    """Its code publishes what it says, and its templates show it."""
    text = DOCUMENT.read_text()
    pages = dict(re.findall(r"```html\n{# (.*?) #}\n(.*?)```", text, re.DOTALL))
    settings.TEMPLATES = locmem(pages)
    ada, bob = User.objects.create(username="ada"), User.objects.create(username="bob")
    first, second, *others = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    given: dict[str, Any] = {"__name__": "shop.topics", "ada": ada, "bob": bob}
    given["group"] = Group.objects.create(name="staff")
    exec(first, given)
    exec(second, given)
    of_ada, of_bob = [given["OpenOrders"](customer_id=user.pk) for user in (ada, bob)]
    assert [is_deleted for _, is_deleted in told(of_ada) + told(of_bob)] == [True, True]
    for snippet in others:
        exec(snippet, given)
    totals = [value.data["total"] for value in of_bob.values().values()]
    assert totals == ["1.00", "2.00", "3.00"]
    [member] = given["Members"](group_id=given["group"].pk).values().values()
    assert member.data == {"username": "ada"}
    request: Any = RequestFactory().get("/")
    request.user = bob
    cards = given["OrderCards"](customer_id=bob.pk)
    cards.reconcile()
    shown = render_to_string("shop/orders.html", {"cards": cards}, request)
    assert re.findall(r'<li id="(order-\d+)">', shown) == sorted(cards.values())
