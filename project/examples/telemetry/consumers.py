"""The socket of the devices: they identify themselves once, and then report."""

from typing import Annotated

from django.db import transaction
from msgspec import Meta

from realtime.consumers import (
    Command,
    CommandError,
    Consumer,
    Cost,
    Done,
    ErrorCode,
    Reply,
    command,
)

from .models import Device, Measurement
from .topics import DeviceState, TelemetryTopic

__all__ = ["DeviceConsumer"]


class Identify(Command):
    """Say which device this is."""

    token: Annotated[str, Meta(min_length=40, max_length=64)]


class Report(Command):
    """Report one value."""

    celsius: Annotated[float, Meta(ge=-90, le=1000)]


class Stored(Reply):
    """The number of stored values of the device."""

    total: int


class DeviceConsumer(Consumer):
    """A device reports single values; they are stored and published in batches."""

    device: Device | None = None

    @command(cost=Cost("command", 5))
    async def identify(self, command: Identify) -> Done:
        """Check the token of the device."""
        self.device = await Device.with_token(command.token)
        if self.device is None:
            raise CommandError(ErrorCode.NOT_AUTHENTICATED, "No device has this token.")
        return Done()

    @command(batch=100, within=0.25, cost=Cost("command", 0.2))
    def report(self, commands: list[Report]) -> list[Stored]:
        """Store a batch in one transaction, and publish its last value."""
        if self.device is None:
            raise CommandError(ErrorCode.NOT_AUTHENTICATED, "Identify the device first.")
        values = [one.celsius for one in commands]
        with transaction.atomic():
            rows = [Measurement(device=self.device, celsius=value) for value in values]
            Measurement.objects.bulk_create(rows)
            total = self.device.measurements.count()
            state = DeviceState(celsius=values[-1], batch=len(values), total=total)
            TelemetryTopic().set(self.device.name, state)
        return [Stored(total=total)] * len(commands)
