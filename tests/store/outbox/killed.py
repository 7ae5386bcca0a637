"""Publishers that are killed right after or right before their commit; run as a script.

Each is a process of its own. The third of three publishes is rolled back by its death.
"""

import os
import signal
import sys
from functools import partial

import django
from django.db import connection, transaction


def main(publishers: int) -> None:
    """Run so many publishers, one after the other."""
    for number in range(publishers):
        child = os.fork()
        if child == 0:
            publish(number)
        os.waitpid(child, 0)


def publish(number: int) -> None:
    from realtime.store.outbox import pending
    from tests.store.outbox.publishing import event

    die = partial(os.kill, os.getpid(), signal.SIGKILL)
    with transaction.atomic():
        transaction.on_commit(die)  # before the hook that numbers
        pending.publish([event([number, "a"], f"t{number % 3}")])
        pending.publish([event([number, "b"], f"t{number % 3}")])
        if number % 4 == 3:
            connection.cursor().execute("SELECT 1")
            die()


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]))
