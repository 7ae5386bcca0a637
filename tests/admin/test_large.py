"""Lists stay quick however long they are."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.formats import number_format
from pytest_django import Settings

from realtime.admin.large import BoundedPaginator, MoreThan
from realtime.admin.messages import MessageAdmin
from realtime.models import Connection, Membership, Message, Node, Report, Room, Sanction
from realtime.store import presence
from realtime.store.messages.drafts import Draft
from realtime.store.outbox import room_numbering
from realtime.store.presence import LiveNode
from tests.admin.conftest import Connect


def say(room: Room, number: int) -> None:
    drafts = [
        Draft(room_id=room.pk, content=f"text {n}", sender=str(n), username=f"user {n}")
        for n in range(number)
    ]
    room_numbering.append(drafts)


def some_rooms(number: int, connect: Connect) -> None:
    for n in range(number):
        room = Room.objects.create(slug=f"r{Room.objects.count()}-{n}")
        say(room, 1)
        connect(f"u{n}", room)


def some_memberships(number: int, connect: Connect) -> None:
    for n in range(number):
        room = Room.objects.create(slug=f"r{Room.objects.count()}-{n}")
        user = User.objects.create(username=f"u{User.objects.count()}")
        Membership.objects.create(room=room, user=user)


def some_messages(number: int, connect: Connect) -> None:
    for n in range(number):
        say(Room.objects.create(slug=f"r{Room.objects.count()}-{n}"), 1)


def some_connections(number: int, connect: Connect) -> None:
    for n in range(number):
        rooms = [Room.objects.create(slug=f"r{Room.objects.count()}-{m}") for m in range(3)]
        user = User.objects.create(username=f"u{User.objects.count()}")
        connect(f"u{n}", *rooms, user=user)


def some_nodes(number: int, connect: Connect) -> None:
    for n in range(number):
        node = LiveNode(f"n{Node.objects.count()}", "host", n, 60)
        presence.rebuild(node, [], [])
        connect(f"u{n}", node=node)


def some_sanctions(number: int, connect: Connect) -> None:
    for n in range(number):
        room = Room.objects.create(slug=f"r{Room.objects.count()}-{n}")
        by = User.objects.create(username=f"u{User.objects.count()}")
        Sanction.objects.create(kind="ban", room=room, user_key=f"guest:{n}", by=by)


def some_reports(number: int, connect: Connect) -> None:
    some_messages(number, connect)
    for message in Message.objects.filter(reports=None):
        Report.objects.create(message=message, reporter="guest:1", username="G")


LISTS = {
    Room: some_rooms,
    Membership: some_memberships,
    Message: some_messages,
    Connection: some_connections,
    Node: some_nodes,
    Sanction: some_sanctions,
    Report: some_reports,
}


def changelist(model: type) -> str:
    return reverse(f"admin:realtime_{model.__name__.lower()}_changelist")


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model.__name__)
def test_a_longer_list_costs_no_more_queries(
    admin_client: Client, connect: Connect, model: type
) -> None:
    numbers = []
    for more in (2, 8):
        LISTS[model](more, connect)
        with CaptureQueriesContext(connection) as queries:
            response = admin_client.get(changelist(model))
        assert response.status_code == 200
        numbers.append(len(queries))
    assert response.context["cl"].result_count == 10 + 2 * (model is Node)
    assert numbers[0] == numbers[1] <= 9


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model.__name__)
def test_no_list_counts_a_whole_table(
    admin_client: Client, connect: Connect, model: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedPaginator, "most", 3)
    LISTS[model](5, connect)
    with CaptureQueriesContext(connection) as queries:
        response = admin_client.get(changelist(model))
    counts = [query["sql"] for query in queries if "COUNT(*)" in query["sql"]]
    assert counts
    assert all("LIMIT 4" in sql for sql in counts)
    assert response.context["cl"].result_count == 3


@pytest.mark.parametrize(
    ("has_separators", "shown"), [(False, "more than 3"), (True, "&gt;3")], ids=["plain", "grouped"]
)
def test_a_list_says_where_it_was_not_counted_to_the_end(
    admin_client: Client,
    room: Room,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    has_separators: bool,
    shown: str,
) -> None:
    """Below the list, beside its search, and where all rows are offered to an action."""
    settings.USE_THOUSAND_SEPARATOR = has_separators
    monkeypatch.setattr(BoundedPaginator, "most", 3)
    monkeypatch.setattr(MessageAdmin, "list_per_page", 2)
    say(room, 3)
    assert shown not in admin_client.get(changelist(Message), {"q": "text"}).content.decode()
    say(room, 1)
    html = admin_client.get(changelist(Message), {"q": "text"}).content.decode()
    for place in ("{} messages", "{} results", "Select all {}", "All {} selected"):
        assert place.format(shown) in html.replace("\n", " ") or (
            has_separators and place.format(">3") in html
        )


def test_a_bound_is_easy_to_read() -> None:
    assert str(MoreThan(10_000)) == "more than 10,000"
    with override_settings(USE_THOUSAND_SEPARATOR=True):
        assert number_format(MoreThan(10_000)) == ">10,000"


@pytest.mark.parametrize("most", [1, 4, 5, 6])
def test_a_paginator_counts_up_to_its_bound(
    room: Room, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedPaginator, "most", most)
    say(room, 5)
    paginator = BoundedPaginator(Message.objects.order_by("-pk"), 2)
    assert paginator.count == min(5, most)
    assert [message.seq for message in paginator.page(1)] == [5, 4][:most]


@pytest.mark.parametrize("model", [Message, Connection, Node], ids=lambda model: model.__name__)
def test_what_the_protocol_writes_can_only_be_looked_at(
    admin_client: Client, room: Room, connect: Connect, model: type
) -> None:
    say(room, 1)
    connect("ada", room)
    one = model.objects.first()  # type: ignore[attr-defined]
    name = f"admin:realtime_{model.__name__.lower()}"
    page = admin_client.get(reverse(f"{name}_change", args=[one.pk]))
    assert page.status_code == 200
    html = page.content.decode()
    assert "_save" not in html
    assert "deletelink" not in html
    assert admin_client.get(reverse(f"{name}_add")).status_code == 403
    assert admin_client.post(reverse(f"{name}_change", args=[one.pk]), {}).status_code == 403
    assert admin_client.get(reverse(f"{name}_delete", args=[one.pk])).status_code == 403
    assert admin_client.post(reverse(f"{name}_delete", args=[one.pk])).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [one.pk], "post": "yes"}
    admin_client.post(changelist(model), data)
    assert model.objects.filter(pk=one.pk).exists()  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model.__name__)
def test_nobody_looks_in_without_the_permission(
    staff: Callable[..., Client], connect: Connect, model: type
) -> None:
    assert staff("add_user").get(changelist(model)).status_code == 403


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model.__name__)
def test_to_look_in_needs_no_more_than_to_view(
    staff: Callable[..., Client], connect: Connect, model: type
) -> None:
    LISTS[model](1, connect)
    assert staff(f"view_{model.__name__.lower()}").get(changelist(model)).status_code == 200


@pytest.mark.parametrize("model", [Message, Membership], ids=lambda model: model.__name__)
def test_the_room_filter_shows_one_room(
    admin_client: Client, connect: Connect, model: type
) -> None:
    LISTS[model](3, connect)
    room = Room.objects.order_by("pk")[1]
    results = admin_client.get(changelist(model), {"room": room.pk}).context["cl"].queryset
    assert [one.room for one in results] == [room]


@pytest.mark.parametrize("value", ["x", "-1", "1e9", "9" * 40, "1 OR 1=1", "\0"])
def test_a_room_filter_that_makes_no_sense_is_refused(
    admin_client: Client, room: Room, value: str
) -> None:
    response = admin_client.get(changelist(Message), {"room": value})
    assert response.status_code == 302


def test_the_room_filter_offers_few_rooms_and_the_chosen_one(
    admin_client: Client, db: None
) -> None:
    for number in range(30):
        Room.objects.create(slug=f"r{number:02}")
    last = Room.objects.get(slug="r29")
    html = admin_client.get(changelist(Message), {"room": last.pk}).content.decode()
    assert "r19" in html
    assert "r25" not in html
    assert "r29" in html


def test_the_figures_of_the_pages_are_within_the_bounds() -> None:
    """Of the table that `benchmarks/admin_pages.py` has printed, at full size."""
    text = (Path(__file__).parents[2] / "docs/admin.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| (\d+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    assert len(rows) == 23
    assert all(int(worst) <= 300 and int(queries) <= 10 for _, worst, queries in rows)
