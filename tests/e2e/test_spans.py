"""One trace over real processes: two servers, and a program that publishes."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.client.websocket import Client
from harness.site import Factory, run
from harness.waiting import eventually

PUBLISH = """
import django
import harness.traced
django.setup()
from django.db import transaction
from realtime import push
from realtime.engine.bus.publisher import publisher
with transaction.atomic():
    push.room("general").message("not for a trace")
publisher.flush()
"""
Spans = list[dict[str, Any]]


def spans_of(folder: Path) -> Spans:
    """The spans of all processes, each with the name of the file of its process."""
    found = []
    for path in folder.glob("*.jsonl"):
        lines = path.read_text().rpartition("\n")[0].splitlines()
        found += [json.loads(line) | {"process": path.name} for line in lines]
    return found


def one(spans: Spans, name: str) -> dict[str, Any]:
    [found] = [span for span in spans if span["name"] == name]
    return found


def check_way(spans: Spans, *names: str) -> None:
    """Check that each span is the child of the one before, in one trace, up to two deliveries."""
    way = [one(spans, name) for name in names]
    for parent, child in pairwise(way):
        assert child["parent_id"] == parent["context"]["span_id"]
    sent = [span for span in spans if span["name"] == "deliver"]
    assert len({span["process"] for span in sent}) == len(sent) == 2
    assert {span["context"]["trace_id"] for span in [*way, *sent]} == {
        way[0]["context"]["trace_id"]
    }
    last = {span["parent_id"] for span in sent}
    assert way[-1]["context"]["span_id"] in last
    assert last <= {span["context"]["span_id"] for span in way}


async def test_a_trace_goes_over_all_processes(make_site: Factory, tmp_path: Path) -> None:
    """First from a client to another server, then from a program without sockets to both."""
    site = make_site(servers=())
    env = {"REALTIME_TEST_SPANS": str(tmp_path)}
    site.start("daphne", "uvicorn", application="harness.traced:application", **env)
    one_url, other_url = site.urls
    async with await Client.connect(one_url) as writer, await Client.connect(other_url) as reader:
        for client in (writer, reader):
            await client.join("general")
        await writer.say("general", "not for a trace")
        await reader.expect("message")
        check_way(await ended(tmp_path), "command message", "commit", "fan_out")
        for path in tmp_path.iterdir():
            assert "not for a trace" not in path.read_text()
            path.unlink()
        run("-c", PUBLISH, env={**site.env, **env}, forks=site.forks)
        for client in (writer, reader):
            await client.expect("message")
        check_way(await ended(tmp_path), "publish", "number", "fan_out")


async def ended(folder: Path) -> Spans:
    """Wait for both deliveries, and for the end of what has caused them, which may be later."""

    def are_there() -> bool:
        names = [span["name"] for span in spans_of(folder)]
        return names.count("deliver") == 2 and "fan_out" in names

    await eventually(are_there, 10, "both deliveries")
    return spans_of(folder)
