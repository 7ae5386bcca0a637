"""The topic of the page: the latest state of each device, by its name."""

from datetime import timedelta

from django.db import transaction
from msgspec import Struct

from realtime.topics import Command, CommandError, ErrorCode, Event, Topic, command

from .models import Device

__all__ = ["DeviceState", "TelemetryTopic"]

DEVICES = 20


class DeviceState(Event):
    """The latest value of a device, and how many came in the last batch."""

    celsius: float | None = None
    batch: int = 0
    total: int = 0


class Add(Command):
    """Add a device."""


class Added(Struct):
    """The new device, and its token."""

    name: str
    token: str


class TelemetryTopic(Topic):
    """All devices, for everybody."""

    path = "telemetry"
    events = [DeviceState]
    keep = timedelta(days=1)

    def may_subscribe(self) -> bool:
        """Allow every user and guest."""
        return True

    @command
    def add(self, command: Add) -> Added:
        """Add a device; its token is in this reply only."""
        with transaction.atomic():
            number = Device.objects.count() + 1
            if number > DEVICES:
                raise CommandError(ErrorCode.LIMIT_EXCEEDED, f"There are {DEVICES} devices.")
            device, token = Device.make(f"sensor-{number:02}")
            self.set(device.name, DeviceState())
            return Added(name=device.name, token=token)
