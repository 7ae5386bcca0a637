"""Connected clients and the nodes they hang on."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

import realtime.testing
from realtime.models import Connection, Membership, Node, RevokedToken, Room, Sanction
from realtime.store import presence
from tests.admin.conftest import LIVE, LOST, Connect, offered

LIST = reverse("admin:realtime_connection_changelist")
NODES = reverse("admin:realtime_node_changelist")


def shown(client: Client, **query: object) -> list[str]:
    return [one.username for one in client.get(LIST, query).context["cl"].result_list]


def act(client: Client, action: str, *chosen: str, **data: object) -> Any:
    return client.post(LIST, {"action": action, "_selected_action": chosen, **data}, follow=True)


@pytest.mark.parametrize(
    ("query", "names"),
    [({}, ["ada"]), ({"state": "lost"}, ["bob"]), ({"state": "all"}, ["ada", "bob"])],
)
def test_only_the_living_are_shown_unless_asked(
    admin_client: Client, connect: Connect, query: dict[str, str], names: list[str]
) -> None:
    connect("ada")
    connect("bob", node=LOST)
    assert sorted(shown(admin_client, **query)) == names


def test_a_claimed_node_is_not_alive(admin_client: Client, connect: Connect) -> None:
    connect("bob", node=LOST)
    presence.reap("lost", LIVE)
    assert shown(admin_client) == []
    assert shown(admin_client, state="lost") == ["bob"]


def test_a_client_is_shown_with_all_that_matters(
    admin_client: Client, room: Room, connect: Connect
) -> None:
    user = User.objects.create(username="ada")
    rooms = [room, *(Room.objects.create(slug=f"r{number}") for number in range(6))]
    one = connect("ada", *rooms, user=user)
    html = admin_client.get(LIST).content.decode()
    assert "General, r0, r1, r2, r3 +2" in html
    assert all(text in html for text in ("203.0.113.9", "host:1"))
    page = admin_client.get(reverse("admin:realtime_connection_change", args=[one.pk]))
    assert "General, r0" in page.content.decode()


def test_a_guest_is_marked(admin_client: Client, connect: Connect) -> None:
    """In words; a user of the same name is not."""
    connect("ada")
    connect("ada", user=User.objects.create(username="ada"))
    cells = re.findall(
        r'field-name"[^>]*>(?:<a[^>]*>)?([^<]*)', admin_client.get(LIST).content.decode()
    )
    assert sorted(cells) == ["ada", "ada (guest)"]


@pytest.mark.parametrize("term", ["ada", "203.0.113.9", "live.1", "guest:ada"])
def test_a_client_is_found(admin_client: Client, connect: Connect, term: str) -> None:
    connect("ada")
    connect("bob")
    Connection.objects.filter(username="bob").update(address="198.51.100.1")
    assert shown(admin_client, q=term) == ["ada"]


@pytest.mark.parametrize("action", ["disconnect", "send_notice"])
def test_the_actions_need_the_permission_to_change(
    staff: Callable[..., Client], connect: Connect, action: str
) -> None:
    one = connect("ada")
    client = staff("view_connection")
    assert action not in client.get(LIST).content.decode()
    act(client, action, one.pk, text="x", level="info")
    assert not LogEntry.objects.exists()


def test_the_actions_need_no_more_than_that_permission(
    staff: Callable[..., Client], connect: Connect
) -> None:
    connect("ada")
    html = staff("view_connection", "change_connection").get(LIST).content.decode()
    assert 'value="disconnect"' in html
    assert 'value="send_notice"' in html


@pytest.mark.parametrize("action", ["disconnect", "send_notice"])
def test_the_actions_are_guarded_against_forgery(
    admin_user: User, connect: Connect, action: str
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert act(client, action, connect("ada").pk, text="x", level="info").status_code == 403


def test_to_disconnect_asks_first_and_says_how_many(admin_client: Client, connect: Connect) -> None:
    """Also where all rows of the list are chosen, not only those of the page."""
    for number in range(3):
        connect(f"u{number}")
    html = act(admin_client, "disconnect", "live.1", select_across="1").content.decode()
    assert "3 clients will be disconnected" in html
    assert re.search(r'name="select_across" value="1"', html)
    assert not LogEntry.objects.exists()
    done = act(admin_client, "disconnect", "live.1", select_across="1", is_sure="True")
    assert "3 clients were disconnected." in done.content.decode()
    assert LogEntry.objects.count() == 3


@pytest.mark.parametrize(
    ("action", "more"),
    [("disconnect", {"is_sure": "True"}), ("send_notice", {"text": "x", "level": "info"})],
)
def test_an_action_on_more_clients_costs_no_more_queries(
    admin_client: Client, connect: Connect, room: Room, action: str, more: dict[str, str]
) -> None:
    """Up to what one query writes into the log."""
    numbers = []
    for _ in range(2):
        for number in range(10):
            connect(f"u{number}", room)
        given = {"action": action, "_selected_action": ["live.1"], "select_across": "1", **more}
        with CaptureQueriesContext(connection) as queries:
            admin_client.post(LIST, given)
        numbers.append(len(queries))
    assert LogEntry.objects.count() == 30
    assert numbers[0] == numbers[1] <= 12


def test_the_clients_in_a_room_are_found(
    admin_client: Client, connect: Connect, room: Room
) -> None:
    """By the link in the list of rooms."""
    connect("ada", room, Room.objects.create(slug="other"))
    connect("bob")
    link = f"{LIST}?room={room.pk}"
    assert link in admin_client.get(reverse("admin:realtime_room_changelist")).content.decode()
    assert shown(admin_client, room=room.pk) == ["ada"]


@pytest.mark.parametrize("may_look", [True, False])
def test_who_is_in_a_direct_room_takes_the_permission_for_those(
    staff: Callable[..., Client], connect: Connect, may_look: bool
) -> None:
    direct = Room.objects.create(slug="direct-1-2", kind="direct", direct_key="1:2")
    connect("ada", direct)
    client = staff("view_connection", *(["view_direct_message"] if may_look else []))
    assert shown(client, room=direct.pk) == ["ada"] * may_look
    assert ("direct-1-2" in client.get(LIST).content.decode()) is may_look


def test_the_list_of_actions_has_what_unfold_looks_for(
    admin_client: Client, connect: Connect
) -> None:
    """Its button is hidden until Alpine.js knows of a chosen action."""
    connect("ada")
    html = admin_client.get(LIST).content.decode()
    assert re.search(r'<select name="action"[^>]* x-model="action"', html)


def test_a_notice_asks_for_its_text(admin_client: Client, connect: Connect) -> None:
    chosen = [connect("ada").pk, connect("bob").pk]
    html = act(admin_client, "send_notice", *chosen).content.decode()
    assert "2 clients will see this." in html
    assert re.findall(r'name="_selected_action" value="([^"]+)"', html) == chosen
    assert "csrfmiddlewaretoken" in html


@pytest.mark.parametrize(
    ("text", "level"), [("", "info"), ("x" * 1001, "info"), ("x", "fatal"), ("x", "")]
)
def test_a_notice_that_cannot_be_sent_asks_again(
    admin_client: Client, connect: Connect, text: str, level: str
) -> None:
    response = act(admin_client, "send_notice", connect("ada").pk, text=text, level=level)
    assert response.context["form"].errors
    assert not LogEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_where_no_process_can_be_reached_the_action_says_so(
    admin_client: Client, connect: Connect
) -> None:
    """The in-memory layer reaches nobody outside of a server process."""
    response = act(admin_client, "disconnect", connect("ada").pk, is_sure="True")
    assert "cannot be reached" in response.content.decode()
    assert not LogEntry.objects.exists()


def visit() -> Any:
    """A guest that is really connected."""
    return realtime.testing.connect()


@sync_to_async
def keep_row(name: str) -> None:
    """The row of a connection, which its process may not have written yet."""
    Node.objects.create(id="n", pid=1, expires_at="2999-01-01T00:00Z")
    row = {"node_id": "n", "username": "ada", "user_key": "guest:ada"}
    Connection.objects.update_or_create(id=name, defaults=row)


@pytest.mark.django_db(transaction=True)
async def test_a_notice_reaches_the_chosen_client_alone(
    admin_client: Client, admin_user: User
) -> None:
    async with visit() as chosen, visit() as other:
        await keep_row(chosen.connection)
        await sync_to_async(act)(
            *(admin_client, "send_notice", chosen.connection),
            text="Back at <b>five</b>",
            level="warning",
        )
        assert await chosen.next() == {
            "type": "notice",
            "level": "warning",
            "text": "Back at <b>five</b>",
        }
        assert await other.settled() == []
        entry = await LogEntry.objects.aget()
        assert (entry.object_id, entry.user_id) == (chosen.connection, admin_user.pk)
        assert entry.change_message == "Notice (warning): Back at <b>five</b>"


@pytest.mark.django_db(transaction=True)
async def test_a_notice_to_all_reaches_also_clients_that_are_not_chosen(
    admin_client: Client,
) -> None:
    async with visit() as chosen, visit() as other:
        await keep_row(chosen.connection)
        given = {"text": "Back at five", "level": "info", "is_for_all": "on"}
        done = await sync_to_async(act)(admin_client, "send_notice", chosen.connection, **given)
        assert "All clients were notified." in done.content.decode()
        for one in (chosen, other):
            assert (await one.next())["text"] == "Back at five"
        entry = await LogEntry.objects.aget()
        assert entry.change_message == "Notice to all (info): Back at five"


@pytest.mark.django_db(transaction=True)
async def test_a_disconnected_client_is_told_and_closed(admin_client: Client) -> None:
    async with visit() as chosen:
        await keep_row(chosen.connection)
        act_on = sync_to_async(act)
        response = await act_on(admin_client, "disconnect", chosen.connection, is_sure="True")
        assert "1 client was disconnected." in response.content.decode()
        end = await chosen.closed()
        assert (end.code, end.reconnect) == (4503, False)
        assert (await LogEntry.objects.aget()).change_message == "Disconnected."


def test_a_connected_user_can_be_deleted(staff: Callable[..., Client], connect: Connect) -> None:
    user = User.objects.create(username="ada")
    connect("ada", user=user)
    client = staff("delete_user", "view_user")
    client.post(reverse("admin:auth_user_delete", args=[user.pk]), {"post": "yes"})
    assert not User.objects.filter(username="ada").exists()


def test_nodes_are_shown_alive_or_not(admin_client: Client, connect: Connect) -> None:
    connect("ada")
    connect("bob")
    nodes = admin_client.get(NODES).context["cl"].result_list
    assert {node.pk: (node.is_alive, node.clients) for node in nodes} == {
        "live": (True, 2),
        "lost": (False, 0),
    }
    page = admin_client.get(reverse("admin:realtime_node_change", args=["lost"]))
    assert "icon-no" in page.content.decode()


# What is done to the people.


def test_a_client_is_banned_from_a_room(
    admin_client: Client, admin_user: User, room: Room, connect: Connect
) -> None:
    """After a page has asked how; two clients of one user are one act."""
    chosen = [connect("ada", room).pk, connect("ada", room).pk]
    page = act(admin_client, "ban", *chosen).content.decode()
    assert page.count("<li>ada (guest:ada)</li>") == 1
    assert all(f'name="{name}"' in page for name in ("room", "ends_at_0", "reason", "by_address"))
    assert not Sanction.objects.exists()
    end = {"ends_at_0": "2999-01-01", "ends_at_1": "00:00"}
    done = act(admin_client, "ban", *chosen, room=room.pk, reason="spam", **end)
    assert "Done to 1 person." in done.content.decode()
    one = Sanction.objects.get()
    assert (one.kind, one.room, one.user_key, one.address) == ("ban", room, "guest:ada", "")
    assert (one.reason, one.by, one.username) == ("spam", admin_user, "ada")
    assert one.ends_at is not None
    assert one.ends_at.year == 2999
    assert LogEntry.objects.get().user == admin_user


def test_a_client_is_muted_with_its_address(admin_client: Client, connect: Connect) -> None:
    """On the whole site, where no room is named."""
    chosen = connect("ada").pk
    Connection.objects.update(address="8.8.4.4")
    act(admin_client, "mute", chosen, reason="", by_address="on")
    one = Sanction.objects.get()
    assert (one.kind, one.room, one.user_key, one.address) == (
        "mute",
        None,
        "guest:ada",
        "8.8.4.4",
    )


def test_an_address_that_may_be_a_proxys_is_left_out(
    admin_client: Client, room: Room, connect: Connect
) -> None:
    """And whoever asked for it is told."""
    chosen = connect("ada").pk
    Connection.objects.update(address="10.0.0.1")
    done = act(admin_client, "ban", chosen, room=room.pk, reason="", by_address="on")
    assert "by name alone" in done.content.decode()
    assert Sanction.objects.get().address == ""


def test_a_client_is_kicked(admin_client: Client, room: Room, connect: Connect) -> None:
    """Out of the room and of the place in it, for a moment."""
    user = User.objects.create(username="ada")
    Membership.objects.create(room=room, user=user)
    chosen = connect("ada", room, user=user).pk
    page = act(admin_client, "kick", chosen).content.decode()
    assert "ends_at" not in page
    act(admin_client, "kick", chosen, room=room.pk, reason="enough")
    assert not Membership.objects.exists()
    one = Sanction.objects.get()
    assert (one.user_key, one.reason) == (str(user.pk), "enough")
    assert one.ends_at is not None
    assert LogEntry.objects.filter(user__username="admin").count() == 1


@pytest.mark.parametrize("action", ["kick", "ban", "mute"])
def test_to_judge_takes_the_permission_to(
    staff: Callable[..., Client], connect: Connect, action: str
) -> None:
    """The one to disconnect is another."""
    one = connect("ada")
    client = staff("view_connection", "change_connection")
    assert offered(client, LIST) == {"disconnect", "send_notice"}
    act(client, action, one.pk, reason="x")
    assert not Sanction.objects.exists()
    assert not LogEntry.objects.exists()


def test_to_judge_takes_no_other_permission(staff: Callable[..., Client], connect: Connect) -> None:
    client = staff("view_connection", "add_sanction")
    assert offered(client, LIST) == {"kick", "ban", "mute", "revoke"}
    act(client, "ban", connect("ada").pk, reason="")
    assert Sanction.objects.get().by == User.objects.get(username="staff")


def test_the_page_of_an_action_shows_names_as_text(admin_client: Client, connect: Connect) -> None:
    chosen = connect("<script>alert(1)</script>").pk
    html = act(admin_client, "ban", chosen).content.decode()
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>alert(1)" not in html


def test_the_tokens_of_chosen_guests_are_revoked(
    admin_client: Client, connect: Connect, admin_user: User
) -> None:
    """Users have none; it stands in the log."""
    guest, user = connect("ada"), connect("bob", user=admin_user)
    page = act(admin_client, "revoke", guest.pk, user.pk).content.decode()
    assert "ada (guest:ada)" in page
    assert not RevokedToken.objects.exists()
    response = act(admin_client, "revoke", guest.pk, user.pk, is_sure="True")
    assert "1 guest was revoked." in response.content.decode()
    assert RevokedToken.objects.get().jti == "guest:ada"
    assert LogEntry.objects.get().object_id == guest.pk


@pytest.mark.parametrize("action", ["kick", "ban", "mute"])
@pytest.mark.parametrize("scope", ["room", "site"])
def test_sanctions_of_more_users_cost_no_more_queries(
    admin_client: Client, connect: Connect, room: Room, action: str, scope: str
) -> None:
    """Each is a row with its entry in the log; users who do not exist are left out."""
    gone = connect("gone", room)
    Connection.objects.filter(pk=gone.pk).update(user_key="987654")
    numbers, given = [], {"room": room.pk} if scope == "room" else {}
    for more in (2, 10):
        for number in range(more):
            user = User.objects.create(username=f"u{more}-{number}")
            Membership.objects.create(room=room, user=user)
            connect(user.username, room, user=user)
            connect(f"g{more}-{number}", room)
        data = {"action": action, "_selected_action": [gone.pk], "select_across": "1"}
        with CaptureQueriesContext(connection) as queries:
            admin_client.post(LIST, {**data, "reason": "spam", **given})
        numbers.append(len(queries))
    rows = Sanction.objects.filter(reason="spam", room=room if scope == "room" else None)
    assert rows.filter(kind="mute" if action == "mute" else "ban").count() == 24
    assert LogEntry.objects.count() >= 24
    assert set(rows.values_list("username", flat=True)) >= {"u2-0", "g10-9"}
    kicked = action == "kick" and scope == "room"
    assert Membership.objects.count() == (0 if kicked else 12)
    assert numbers[1] <= numbers[0] + 2 <= 34


# Moves.


@pytest.fixture
def table(db: None) -> Room:
    return Room.objects.create(slug="table", title="Table")


def test_a_move_asks_from_which_room_to_which(
    admin_client: Client, room: Room, table: Room, connect: Connect
) -> None:
    """The room by which the list is filtered is the first one."""
    chosen = [connect("ada", room).pk, connect("ada", room).pk, connect("bob").pk]
    url = f"{LIST}?room={room.pk}"
    page = admin_client.post(url, {"action": "move", "_selected_action": chosen[:2]})
    html = page.content.decode()
    assert re.search(rf'name="room" value="{room.pk}"', html)
    assert html.count("<li>ada (guest:ada)</li>") == 1
    assert not LogEntry.objects.exists()
    done = act(admin_client, "move", *chosen, room=room.pk, to=table.pk, reason="hi")
    html = done.content.decode()
    assert "1 person was moved." in html
    assert "1 person is not in the room." in html
    assert {entry.object_id for entry in LogEntry.objects.all()} == set(chosen[:2])


def test_a_user_who_may_not_enter_the_room_is_named_as_a_number(
    admin_client: Client, room: Room, connect: Connect
) -> None:
    private = Room.objects.create(slug="secret", kind="private")
    chosen = connect("ada", room).pk
    html = act(admin_client, "move", chosen, room=room.pk, to=private.pk).content.decode()
    assert "1 person may not enter that room, and stays." in html


@pytest.mark.parametrize("to", ["", "0", "x", "same", "direct"])
def test_a_room_that_cannot_be_asks_again(
    admin_client: Client, room: Room, connect: Connect, to: str
) -> None:
    direct = Room.objects.create(slug="direct-1", kind="direct", direct_key="k")
    given = {"same": room.pk, "direct": direct.pk}.get(to, to)
    page = act(admin_client, "move", connect("ada", room).pk, room=room.pk, to=given)
    assert page.context["form"].errors


def test_a_move_needs_the_permission_to_moderate_all_rooms(
    staff: Callable[..., Client], room: Room, table: Room, connect: Connect
) -> None:
    """It may bring users into private rooms."""
    chosen = connect("ada", room).pk
    client = staff("view_connection", "change_connection", "add_sanction")
    assert "move" not in offered(client, LIST)
    act(client, "move", chosen, room=room.pk, to=table.pk)
    assert not LogEntry.objects.exists()


def test_no_other_permission_is_needed_for_a_move(
    staff: Callable[..., Client], room: Room, table: Room, connect: Connect
) -> None:
    chosen = connect("ada", room).pk
    client = staff("view_connection", "moderate_room")
    assert offered(client, LIST) == {"move"}
    done = act(client, "move", chosen, room=room.pk, to=table.pk)
    assert "1 person was moved." in done.content.decode()


@pytest.mark.parametrize(
    ("action", "more"),
    [
        ("kick", {"reason": "spam"}),
        ("ban", {"reason": "spam", "by_address": "on"}),
        ("mute", {"reason": "", "by_address": "on", "room": "general"}),
        ("revoke", {"is_sure": "True"}),
    ],
)
def test_an_action_on_more_users_costs_no_more_queries(
    admin_client: Client, connect: Connect, room: Room, action: str, more: dict[str, str]
) -> None:
    if "room" in more:
        more = {**more, "room": str(room.pk)}
    numbers = []
    for start in range(2):
        for number in range(2 + 20 * start):
            one = connect(f"u{start}-{number}", room)
            Connection.objects.filter(pk=one.pk).update(address=f"8.8.{start}.{number}")
        given = {"action": action, "_selected_action": ["live.1"], "select_across": "1", **more}
        with CaptureQueriesContext(connection) as queries:
            admin_client.post(LIST, given)
        numbers.append(len(queries))
    assert LogEntry.objects.exists()
    assert numbers[0] <= 35
    assert numbers[1] <= numbers[0] + 3  # the second time, some are changed and others added
