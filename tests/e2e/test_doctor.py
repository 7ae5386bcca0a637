"""The doctor finds nothing wrong with a site that runs, and calls each of its processes."""

import json
from asyncio import to_thread

from harness.client.websocket import Client
from harness.site import Factory

EXAMINE = """
import sys, django
django.setup()
from django.core.management import call_command
try:
    call_command("realtime_doctor", "--json", "--url", sys.argv[1], "--hold", "1")
except SystemExit:
    pass
"""


async def test_a_site_that_runs_is_well(make_site: Factory) -> None:
    """The database of tests does not wait for its disk, which is the only error."""
    site = make_site(servers=("daphne", "daphne"))
    async with await Client.connect(site.urls[0]), await Client.connect(site.urls[1]):
        result = json.loads(await to_thread(site.run, "-c", EXAMINE, site.urls[0]))
    wrong = {one["subject"] for one in result["findings"] if one["level"] == "error"}
    found = [one["subject"] for one in result["findings"] if one["level"] == "good"]
    assert wrong <= {"durability"}
    assert found.count("doorbell") == 2
    assert {"database", "migrations", "pending", "clocks", "address", "hold"} <= set(found)
