"""Telemetry: devices identify themselves, and report in batches."""

from inspect import iscoroutinefunction
from typing import Any

import pytest

from project.examples.telemetry import topics
from project.examples.telemetry.consumers import DeviceConsumer
from project.examples.telemetry.models import Device, Measurement
from realtime.testing import Client, Refused, committing, connect

pytestmark = [pytest.mark.django_db, pytest.mark.realtime]
DEVICES = "/ws/telemetry/"


async def added(client: Client) -> Any:
    return await client.call("telemetry", "add")


async def test_a_device_reports_and_the_page_shows_it() -> None:
    async with connect() as page, connect(path=DEVICES) as device:
        await page.subscribe("telemetry")
        new = await added(page)
        await device.command("identify", token=new["token"])
        async with committing():
            for celsius in (20.0, 20.5, 21.0):
                device.send("report", celsius=celsius, ref=str(celsius))
            assert (await device.next("stored", ref="21.0"))["total"] == 3
        event = await page.next("event", data={"celsius": 21.0, "batch": 3, "total": 3})
        assert event["key"] == new["name"]
        values = Measurement.objects.order_by("pk").values_list("celsius", flat=True)
        assert [value async for value in values] == [20.0, 20.5, 21.0]


async def test_only_the_digest_of_a_token_is_stored() -> None:
    async with connect() as page:
        new = await added(page)
        device = await Device.objects.aget(name=new["name"])
        assert new["token"] not in (device.digest, device.name)
        reply = await page.subscribe("telemetry")
        assert new["token"] not in str(reply)


@pytest.mark.parametrize(
    ("kind", "fields", "code", "path"),
    [
        ("report", {"celsius": 20}, "not_authenticated", None),
        ("report", {"celsius": 2000}, "invalid_message", "celsius"),
        ("report", {}, "invalid_message", "celsius"),
        ("identify", {"token": "short"}, "invalid_message", "token"),
        ("identify", {"token": "x" * 43}, "not_authenticated", None),
        ("join", {"room": "general"}, "unknown_type", None),
    ],
)
async def test_what_a_device_may_not_do_is_refused(
    kind: str, fields: dict[str, Any], code: str, path: str | None
) -> None:
    async with connect(path=DEVICES) as device:
        with pytest.raises(Refused) as refused:
            await device.command(kind, **fields)
        assert (refused.value.code, refused.value.reply.get("path")) == (code, path)


async def test_there_are_only_so_many_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "DEVICES", 1)
    async with connect() as page:
        await added(page)
        with pytest.raises(Refused, match="limit_exceeded"):
            await added(page)


def test_a_batch_is_stored_by_a_plain_function() -> None:
    """So it runs in a thread of the calls, as docs/consumers.md says of code with queries."""
    assert not iscoroutinefunction(DeviceConsumer.report)
