"""A process that publishes in transactions until it kills itself at any moment; run by a test.

Each transaction also makes a room, so that a test can compare commits with events.
"""

import os
import random
import signal
import sys
import threading

import django

django.setup()

from django.db import connection, transaction  # noqa: E402

from realtime.models import Room  # noqa: E402
from realtime.store.outbox import pending  # noqa: E402
from tests.engine.topic_log import event  # noqa: E402


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def publish(topic: str, name: str) -> None:
    """Publish in one transaction; every tenth one is rolled back."""
    with transaction.atomic():
        Room.objects.create(slug=name)
        pending.publish([event(topic, name)])
        transaction.set_rollback(random.random() < 0.1)


if __name__ == "__main__":
    connection.ensure_connection()
    threading.Timer(random.uniform(0.01, 0.3), die).start()
    for count in range(100_000):
        publish(sys.argv[1], f"{sys.argv[2]}-{count}")
