"""The dashboard: what is measured, and what of it is published."""

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from project.examples.dashboard.machines import METRICS, Machines
from project.examples.dashboard.topics import DashboardTopic, Load
from realtime.testing import committing, connect


def test_machines_measure_within_bounds() -> None:
    machines = Machines(3, seed=1)
    measured = list(machines.measured(5000))
    assert len(measured) == 5000
    assert {key for key, _ in measured} == {
        f"web-{number:02}/{metric}" for number in (1, 2, 3) for metric in METRICS
    }
    assert all(0 <= value <= 100 for _, value in measured)


@pytest.mark.django_db
def test_the_command_publishes_the_latest_value_of_each_key() -> None:
    """Many values, of which each round publishes one a key."""
    out = StringIO()
    with committing():
        call_command("publish_dashboard", rate=2000, machines=2, seconds=0.35, stdout=out)
    found = re.match(r"(\d+) values measured in [\d.]+ s, (\d+) of them published", out.getvalue())
    assert found is not None
    measured, published = map(int, found.groups())
    assert measured > 400
    assert 0 < published <= 10 * 5
    assert set(DashboardTopic().values()) <= set(Machines(2).values)


@pytest.mark.parametrize("options", [{"rate": 0}, {"machines": 100}, {"seconds": -1}])
def test_the_command_refuses_what_makes_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(CommandError, match="must be above 0"):
        call_command("publish_dashboard", **options)


@pytest.mark.django_db
@pytest.mark.realtime
async def test_a_page_gets_the_latest_values_and_then_the_changes() -> None:
    topic = DashboardTopic()
    async with committing():
        await topic.aset_many({"web-01/cpu": Load(percent=10), "web-01/disk": Load(percent=20)})
    async with connect() as client:
        entries = (await client.subscribe(topic))["entries"]
        assert [one["data"]["percent"] for one in entries] == [10, 20]
        async with committing():
            await topic.aset("web-01/cpu", Load(percent=30))
        event = await client.next("event")
        assert (event["key"], event["data"]) == ("web-01/cpu", {"percent": 30})
