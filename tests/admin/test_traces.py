"""The pages of traces in the admin: who may start one, and what is recorded."""

from typing import Any

import pytest
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse

from realtime.admin.connections import ConnectionAdmin
from realtime.models import Connection, Trace
from realtime.store import traces
from tests.admin.conftest import Connect, act, entries, listed, offered

LIST = reverse("admin:realtime_trace_changelist")
ADD = reverse("admin:realtime_trace_add")
CONNECTIONS = reverse("admin:realtime_connection_changelist")


def page_of(trace: Trace) -> str:
    return reverse("admin:realtime_trace_change", args=[trace.pk])


def test_a_trace_is_started_and_stopped(staff: Any) -> None:
    """By the permission; both are recorded."""
    client = staff("add_trace")
    ada = User.objects.create(username="ada")
    answer = client.post(ADD, {"subject": "ada"})
    trace = Trace.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, page_of(trace))
    assert (trace.subject, trace.is_connection) == (str(ada.pk), False)
    assert trace.by is not None
    assert trace.by.username == "staff"
    page = client.get(page_of(trace))
    assert page.context["is_on"]
    assert page.context["config"]["topic"] == traces.topic_of(trace.pk)
    assert 0 < page.context["config"]["seconds"] <= traces.TRACE_SECONDS
    for _again in range(2):
        client.post(page_of(trace))
    assert not client.get(page_of(trace)).context["is_on"]
    assert entries() == [(1, "staff"), (2, "staff")]


def test_the_field_may_be_filled_by_a_link(staff: Any) -> None:
    page = staff("add_trace").get(ADD, {"subject": "guest:1"}).content.decode()
    assert 'value="guest:1"' in page


@pytest.mark.parametrize("subject", ["nobody", "4711", "guest:", "", "0123456789ab.7", "x" * 151])
def test_what_does_not_exist_is_refused(staff: Any, subject: str) -> None:
    answer = staff("add_trace").post(ADD, {"subject": subject})
    assert answer.status_code == 200
    assert "subject" in answer.context["adminform"].form.errors
    assert not Trace.objects.exists()


def test_one_trace_too_many_is_refused(staff: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MOST", 1)
    client = staff("add_trace")
    client.post(ADD, {"subject": "guest:1"})
    answer = client.post(ADD, {"subject": "guest:2"})
    assert "too many traces" in answer.content.decode()
    assert Trace.objects.count() == 1


def test_one_trace_too_many_at_the_same_time_is_refused(
    staff: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user has started one after the form was checked."""
    monkeypatch.setattr(traces, "MOST", 0)
    monkeypatch.setattr("realtime.admin.traces.are_too_many", lambda: False)
    answer = staff("add_trace").post(ADD, {"subject": "guest:1"}, follow=True)
    assert answer.status_code == 200
    assert "too many traces" in answer.content.decode()
    assert not Trace.objects.exists()
    assert entries() == []


@pytest.mark.parametrize("permissions", [(), ("view_live", "change_connection")])
def test_others_may_neither_see_nor_trace(staff: Any, permissions: tuple[str, ...]) -> None:
    trace = traces.start("guest:1", is_connection=False, by=User.objects.create(username="x"))
    client = staff(*permissions)
    for url in (LIST, ADD, page_of(trace)):
        assert client.get(url).status_code == 403
    assert client.post(page_of(trace)).status_code == 403
    assert traces.seconds_left(trace.pk) > 0


def test_who_may_view_traces_cannot_start_or_stop_them(staff: Any) -> None:
    trace = traces.start("guest:1", is_connection=False, by=User.objects.create(username="x"))
    client = staff("view_trace")
    assert listed(client, LIST) == [trace]
    page = client.get(page_of(trace))
    assert page.status_code == 200
    assert not page.context["may_stop"]
    assert client.post(page_of(trace)).status_code == 403
    assert client.get(ADD).status_code == 403
    assert traces.seconds_left(trace.pk) > 0


def test_traces_are_listed_with_who_has_started_them(staff: Any) -> None:
    client = staff("add_trace")
    by = User.objects.get(username="staff")
    over, on = (traces.start(f"guest:{one}", is_connection=False, by=by) for one in "ab")
    traces.stop(over.pk)
    assert listed(client, LIST) == [on, over]
    assert listed(client, LIST, state="on") == [on]
    assert listed(client, LIST, state="over") == [over]
    assert "staff" in client.get(LIST).content.decode()
    assert offered(client, LIST) == set()


@pytest.mark.parametrize("pk", ["0", "999", "x", "9" * 40])
def test_an_unknown_trace_is_not_found(staff: Any, pk: str) -> None:
    url = reverse("admin:realtime_trace_change", args=[pk])
    assert staff("add_trace").get(url).status_code == 404


@pytest.mark.parametrize(("what", "subject"), [("connection", "live.1"), ("user", "guest:ada")])
def test_a_client_is_traced_from_the_list(
    staff: Any, connect: Connect, what: str, subject: str
) -> None:
    client = staff("add_trace", "view_connection")
    one = connect("ada")
    answer = act(client, CONNECTIONS, "trace", one.pk)
    assert "guest:ada (live.1)" in answer.content.decode()
    answer = act(client, CONNECTIONS, "trace", one.pk, what=what)
    trace = Trace.objects.get()
    assert answer.redirect_chain[-1][0] == page_of(trace)
    assert (trace.subject, trace.is_connection) == (subject, what == "connection")


def test_several_users_are_traced_once_each(staff: Any, connect: Connect) -> None:
    client = staff("add_trace", "view_connection")
    chosen = [connect(name).pk for name in ("ada", "ada", "bob")]
    answer = act(client, CONNECTIONS, "trace", *chosen, what="user")
    assert [one.subject for one in Trace.objects.order_by("pk")] == ["guest:bob", "guest:ada"]
    assert answer.redirect_chain[-1][0] == f"{LIST}?state=on"
    assert entries() == [(2, "staff")] * 2


def test_tracing_too_many_says_so(
    staff: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "MOST", 0)
    client = staff("add_trace", "view_connection")
    answer = act(client, CONNECTIONS, "trace", connect("ada").pk, what="user")
    assert "too many traces" in answer.content.decode()


def test_traces_before_one_too_many_are_recorded(
    staff: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "MOST", 1)
    client = staff("add_trace", "view_connection")
    chosen = [connect(name).pk for name in ("ada", "bob")]
    answer = act(client, CONNECTIONS, "trace", *chosen, what="user")
    assert "too many traces" in answer.content.decode()
    assert len(entries()) == Trace.objects.count()


def test_the_action_needs_the_permission_and_the_pages(
    staff: Any, connect: Connect, admin_user: Any
) -> None:
    connect("ada")
    assert "trace" not in offered(staff("view_connection"), CONNECTIONS)
    request = RequestFactory().get("/")
    request.user = admin_user
    alone = ConnectionAdmin(Connection, AdminSite())
    assert not alone.has_trace_permission(request)


def test_the_page_does_not_show_names(admin_client: Client) -> None:
    """The trace is about an id."""
    ada = User.objects.create(username="ada", first_name="Lovelace")
    admin_client.post(ADD, {"subject": str(ada.pk)})
    page = admin_client.get(page_of(Trace.objects.get())).content.decode()
    assert "Lovelace" not in page
    assert ">ada<" not in page
