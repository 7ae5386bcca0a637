"""The topic of the live page: who may see it, what it tells, and what it costs when idle."""

import asyncio
import re
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client as Browser
from django.test import RequestFactory

from harness.waiting import eventually
from realtime.admin.live import LiveAdmin
from realtime.engine import reporting
from realtime.engine.bus.notes import Answered, Inspect, Past, Watch
from realtime.engine.engine import Engine
from realtime.engine.reporting import LIVE
from realtime.engine.series import STEP_SECONDS
from realtime.models import Live, Room
from realtime.testing import Refused, connect
from tests.consumers.conftest import database, engine, room, sqlite_url

__all__ = ["database", "engine", "room", "sqlite_url"]


@pytest.fixture
def operator(database: str) -> Any:
    """A member of the staff who may see the page."""
    user = get_user_model().objects.create_user("operator", is_staff=True)
    permission = Permission.objects.get(codename="view_live")
    user.user_permissions.add(permission)
    return user


async def test_the_page_is_for_staff_with_the_permission(engine: Engine, operator: Any) -> None:
    users = get_user_model().objects
    staff = await users.acreate_user("staff", is_staff=True)
    former = await users.acreate_user("former")
    await former.user_permissions.aadd(await Permission.objects.aget(codename="view_live"))
    for user in (staff, former, None):
        async with connect(user) as client:
            for act in (client.subscribe(LIVE), client.call(LIVE, "look")):
                with pytest.raises(Refused) as refused:
                    await act
                assert refused.value.code == "unknown_topic"
    async with connect(operator) as client:
        await client.subscribe(LIVE)


async def next_with(client: Any, change: str) -> Any:
    """The next report with connections that have come or gone; one is made each second."""
    while not (report := (await client.next("event", name="report"))["data"])[change]:
        pass
    return report


async def test_processes_report_while_somebody_looks(
    engine: Engine, operator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is published before, and the tasks end after it."""
    monkeypatch.setattr(reporting, "WATCH_SECONDS", 0.2)
    monkeypatch.setattr(reporting, "RENEW_SECONDS", 0.1)
    async with connect(operator) as client:
        await client.subscribe(LIVE)
        assert engine.reporter._tasks == {}
        await client.call(LIVE, "look")
        first = await client.next("event", name="report")
        assert first["data"]["numbers"]["node"] == engine.node.id
        assert first["data"]["numbers"]["gauges"]["connections"] == 1
        assert (first["data"]["number"], first["data"]["moved"]) == (1, [])
        async with connect() as guest:
            opened = await next_with(client, "opened")
            assert [row["user_id"] for row in opened["opened"]] == [guest.user_id]
        closed = await next_with(client, "closed")
        assert closed["closed"] == [guest.welcome["connection"]]
        assert not closed["is_partial"]
    await eventually(lambda: engine.reporter._tasks == {})


async def test_clients_and_places_come_in_pages(
    engine: Engine, room: Room, operator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "CLIENTS", 2)
    async with connect(operator) as client, connect() as one, connect() as other:
        await one.join("general")
        await other.join("general")
        ask: dict[str, Any] = {"node": engine.node.id, "what": "clients"}
        page = await client.call(LIVE, "inspect_node", ask)
        rest = await client.call(LIVE, "inspect_node", ask | {"offset": 2})
        names = [row["id"] for row in page["rows"] + rest["rows"]]
        assert names == [each.welcome["connection"] for each in (client, one, other)]
        assert page["total"] == rest["total"] == 3
        few = await client.call(LIVE, "inspect_node", ask | {"ids": [names[1], "gone.1"]})
        assert [(row["id"], row["subscriptions"]) for row in few["rows"]] == [(names[1], 1)]
        found = await client.call(LIVE, "inspect_node", ask | {"what": "places"})
        [place] = found["rows"]
        assert (place["kind"], place["name"], place["members"]) == ("room", "general", 2)
        assert (place["position"], place["key"]) == (0, f"room.{room.pk}")


async def test_the_activity_of_clients_is_what_their_rows_have(
    engine: Engine, room: Room, operator: Any
) -> None:
    """The page reads it by the order of its fields."""
    script = (settings.BASE_DIR / "realtime/static/realtime/admin/live.js").read_text()
    [fields] = re.findall(r'const ACTIVITY = "([a-z_ ]+)"', script)
    assert tuple(fields.split()) == reporting.Activity.__struct_fields__
    async with connect(operator) as client, connect() as guest:
        await guest.join("general")
        ask = {"node": engine.node.id, "ids": [guest.welcome["connection"]]}
        [row] = (await client.call(LIVE, "inspect_node", ask | {"what": "clients"}))["rows"]
        found = await client.call(LIVE, "inspect_node", ask | {"what": "activity"})
        expected = [row[name] for name in fields.split()]
        assert found["rows"] == [[*expected[:4], pytest.approx(expected[4]), *expected[5:]]]
        assert (row["places"], row["lag"]) == (["general"], 0)


async def test_the_page_reads_the_steps_of_a_process_and_of_ended_ones(
    engine: Engine, operator: Any
) -> None:
    at = int(time.time()) // STEP_SECONDS
    engine.reporter.receive(Past("ended", f"[[{at},4,0,0,0,9,0,0,0,[]]]"))
    engine.reporter._series.take(at)
    async with connect(operator) as client:
        ask = {"node": engine.node.id}
        own = (await client.call(LIVE, "inspect_node", ask | {"what": "past"}))["rows"]
        assert [(one["node"], len(one["steps"])) for one in own] == [(engine.node.id, 1)]
        ended = (await client.call(LIVE, "inspect_node", ask | {"what": "ended"}))["rows"]
        assert ended == [{"node": "ended", "steps": [[at, 4, 0, 0, 0, 9, 0, 0, 0, []]]}]


async def test_members_are_counted_by_room(
    engine: Engine, room: Room, operator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they are connected or not; not those who have not accepted yet."""
    monkeypatch.setattr("realtime.operations.live.ROOMS", 2)
    users = [await get_user_model().objects.acreate_user(f"member{one}") for one in range(3)]
    other = await Room.objects.acreate(slug="other")
    for user in users:
        await other.memberships.acreate(user=user, is_request=user is users[0])
    async with connect(operator) as client:
        ask = {"rooms": ["general", "other", "beyond"]}
        found = await client.call(LIVE, "count_members", ask)
        assert found == {"counts": {"other": 2}}
    async with connect() as guest:
        with pytest.raises(Refused):
            await guest.call(LIVE, "count_members", ask)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"node": "0" * 12, "what": "clients"}, "unavailable"),
        ({"node": "", "what": "clients"}, "unavailable"),
        ({"node": "x", "what": "secrets"}, "invalid_message"),
    ],
)
async def test_a_wrong_question_is_refused(
    engine: Engine,
    operator: Any,
    monkeypatch: pytest.MonkeyPatch,
    data: dict[str, str],
    code: str,
) -> None:
    monkeypatch.setattr("realtime.operations.live.ANSWER_SECONDS", 0.01)
    async with connect(operator) as client:
        with pytest.raises(Refused) as refused:
            await client.call(LIVE, "inspect_node", data)
        assert refused.value.code == code


async def test_a_broken_note_harms_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(engine, "send_to_process", lambda topic, note: sent.append(note))
    for text in ("", "{}", '{"what":"other"}', '{"what":"clients","offset":-5}'):
        engine.reporter.receive(Inspect("r", text, "node.x"))
    assert [type(note) for note in sent] == [Answered] * 4
    assert [note.outcome for note in sent] == ["refused"] * 3 + ["answered"]
    engine.reporter.receive(Watch(-1))
    await asyncio.sleep(0)
    await eventually(lambda: engine.reporter._tasks == {})


async def test_a_process_that_stops_reports_no_more(engine: Engine) -> None:
    engine.reporter.receive(Watch(60))
    assert engine.reporter._tasks
    engine.reporter.stop()
    await eventually(lambda: engine.reporter._tasks == {})


def test_the_page_of_the_admin_needs_the_permission(operator: Any) -> None:
    """And leads to the lists without JavaScript."""
    staff = get_user_model().objects.create_user("staff", is_staff=True)
    for user, status in ((operator, 200), (staff, 403)):
        browser = Browser()
        browser.force_login(user)
        answer = browser.get("/admin/realtime/live/")
        assert answer.status_code == status
    browser.force_login(operator)
    page = browser.get("/admin/realtime/live/").content.decode()
    assert "/admin/realtime/connection/" in page
    assert '"actions": []' in page
    assert browser.get("/admin/realtime/live/1/change/").status_code == 403
    index = browser.get("/admin/").content.decode()
    assert "/admin/realtime/live/" in index


async def test_actions_are_those_that_the_user_may_take(engine: Engine) -> None:
    admin = await sync_to_async(get_user_model().objects.create_superuser)("admin")
    browser = Browser()
    await sync_to_async(browser.force_login)(admin)
    page = (await sync_to_async(browser.get)("/admin/realtime/live/")).content.decode()
    for action in ("disconnect", "send_notice", "kick", "ban", "mute"):
        assert f'"{action}"' in page


def test_an_admin_site_may_have_the_page_alone(operator: Any) -> None:
    """Then it leads to no lists, and has no actions."""
    site = AdminSite(name="other")
    site.register(Live, LiveAdmin)
    request = RequestFactory().get("/other/realtime/live/")
    request.user = operator
    request.resolver_match = None
    answer: Any = site._registry[Live].changelist_view(request)
    assert (answer.context_data["config"]["clients"], answer.status_code) == ([], 200)
