"""`manage.py publish_dashboard`: measure thousands of values a second, publish the latest."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from project.examples.dashboard.machines import Machines
from project.examples.dashboard.topics import DashboardTopic, Load

ROUND_SECONDS = 0.1


class Command(BaseCommand):
    """Gathers what was measured in a round; each key is published once, with its latest value."""

    help = "Publish the metrics of made-up machines to the topic `dashboard`, until Ctrl+C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--rate", type=int, default=5000, help="values a second")
        parser.add_argument("--machines", type=int, default=24, help="how many machines there are")
        parser.add_argument("--seconds", type=float, default=float("inf"), help="how long to run")

    def handle(self, *args: Any, **options: Any) -> None:
        """Execute the command."""
        rate, number, seconds = options["rate"], options["machines"], options["seconds"]
        if not (rate > 0 and 0 < number < 100 and seconds > 0):
            raise CommandError("--rate, --machines (1 to 99) and --seconds must be above 0.")
        self.run(Machines(number), rate, seconds)

    def run(self, machines: Machines, rate: int, seconds: float) -> None:
        """Publish one round after the other, and say how many values were measured and stored."""
        topic, start = DashboardTopic(), time.monotonic()
        measured = published = 0
        try:
            while (passed := time.monotonic() - start) < seconds:
                due = int(rate * passed) - measured
                latest = dict(machines.measured(due))
                if latest:
                    topic.set_many({key: Load(percent=one) for key, one in latest.items()})
                measured, published = measured + due, published + len(latest)
                time.sleep(max(0.0, ROUND_SECONDS - (time.monotonic() - start - passed)))
        except KeyboardInterrupt:
            pass
        passed = time.monotonic() - start
        self.stdout.write(
            f"{measured} values measured in {passed:.1f} s, {published} of them published."
        )
