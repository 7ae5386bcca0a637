"""The list of processes: drain them, and let them serve again."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from harness.site import ROOT
from realtime.models import Node
from tests.admin.conftest import Connect, act, offered

LIST = reverse("admin:realtime_node_changelist")


def seconds(pk: str = "live") -> int | None:
    return Node.objects.get(pk=pk).drain_seconds


def test_draining_asks_over_how_many_seconds(
    admin_client: Client, admin_user: User, connect: Connect
) -> None:
    page = act(admin_client, LIST, "drain", "live").content.decode()
    assert 'name="seconds" value="20"' in page
    assert "live (host:1)" in page
    assert seconds() is None
    done = act(admin_client, LIST, "drain", "live", seconds=60)
    assert "1 process drains." in done.content.decode()
    assert seconds() == 60
    assert '<td class="field-drains">over 60 s</td>' in admin_client.get(LIST).content.decode()
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (admin_user, "live")
    assert entry.change_message == "drains over 60 s"


def test_the_question_says_if_no_other_process_serves(
    admin_client: Client, connect: Connect
) -> None:
    """One that drains itself, or has ended, takes no clients."""
    assert "No other process" in act(admin_client, LIST, "drain", "live").content.decode()
    other = Node.objects.create(id="other", hostname="host", pid=3, expires_at="2999-01-01T00:00Z")
    assert "No other process" not in act(admin_client, LIST, "drain", "live").content.decode()
    other.drain_seconds = 5
    other.save()
    assert "No other process" in act(admin_client, LIST, "drain", "live").content.decode()


@pytest.mark.parametrize("wrong", ["", "-1", "86401", "soon", "1e3"])
def test_a_time_that_cannot_be_asks_again(
    admin_client: Client, connect: Connect, wrong: str
) -> None:
    page = act(admin_client, LIST, "drain", "live", seconds=wrong)
    assert page.context["form"].errors
    assert seconds() is None


def test_a_process_that_has_ended_is_left_out(admin_client: Client, connect: Connect) -> None:
    done = act(admin_client, LIST, "drain", "lost", "live", seconds=5)
    assert "have ended" in done.content.decode()
    assert (seconds("lost"), seconds("live")) == (None, 5)


def test_a_process_serves_again_after_a_question(admin_client: Client, connect: Connect) -> None:
    Node.objects.filter(pk="live").update(drain_seconds=20)
    page = act(admin_client, LIST, "serve", "live").content.decode()
    assert "accept clients again" in page
    assert seconds() == 20
    act(admin_client, LIST, "serve", "live", is_sure="True")
    assert seconds() is None
    assert LogEntry.objects.get().change_message == "serves again"


def test_a_process_that_serves_has_nothing_to_take_back(
    admin_client: Client, connect: Connect
) -> None:
    act(admin_client, LIST, "serve", "live", is_sure="True")
    assert not LogEntry.objects.exists()


def test_the_actions_need_the_permission_to_change_nodes(
    staff: Callable[..., Client], connect: Connect
) -> None:
    client = staff("view_node", "change_connection")
    assert offered(client, LIST) == set()
    act(client, LIST, "drain", "live", seconds=5)
    assert seconds() is None


def test_no_more_than_that_permission_is_needed(
    staff: Callable[..., Client], connect: Connect
) -> None:
    client = staff("view_node", "change_node")
    assert offered(client, LIST) == {"drain", "serve"}
    assert client.get(reverse("admin:realtime_node_change", args=["live"])).status_code == 200
    act(client, LIST, "drain", "live", seconds=5)
    assert seconds() == 5


def test_the_code_of_the_page_drains_and_serves(admin_user: User, connect: Connect) -> None:
    """That of docs/deploy.md, for the process that is there."""
    page = (ROOT / "docs" / "deploy.md").read_text()
    [code] = [one for one in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "drain(" in one]
    names: dict[str, Any] = {"request": SimpleNamespace(user=admin_user)}
    drains, serves = re.sub(r'"[0-9a-f]{12}"', '"live"', code).split("draining.serve")
    exec(drains, names)
    assert seconds() == 60
    exec(f"draining.serve{serves}", names)
    assert seconds() is None
