"""Publish in transactions, and kill the process: right after the commit, during it, or not at all.

`python -m tests.faults._publisher ROOM FIRST LAST`: each number is the work of a process of its
own. `DONE`, a table with the numbers that were committed, is written in the same transactions.
"""

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable

import django
from django.db import connection, transaction

DONE = "published_by_a_fault"
TOGETHER = 4
"""How many processes publish at once."""
SPREAD_SECONDS = 0.004


def main() -> None:
    django.setup()
    room, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    running: set[int] = set()
    for number in range(first, last):
        if len(running) == TOGETHER:
            running.discard(os.wait()[0])
        running.add(_fork(room, number))
    while running:
        running.discard(os.wait()[0])


def _fork(room: str, number: int) -> int:
    child = os.fork()
    if not child:
        try:
            WAYS[number % len(WAYS)](room, number)
        finally:
            os._exit(0)
    return child


def _killed_after_commit(room: str, number: int) -> None:
    """Before anything of the package has run after the commit."""
    with transaction.atomic():
        transaction.on_commit(_die)
        _publish(room, number)


def _killed_soon(room: str, number: int) -> None:
    """Before, in or after the commit or the numbering."""
    with transaction.atomic():
        _publish(room, number)
        delay = random.Random(number).uniform(0, SPREAD_SECONDS)
        threading.Thread(target=lambda: (time.sleep(delay), _die())).start()


def _killed_without_transaction(room: str, number: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {DONE} VALUES (%s)", [number])
    from harness.topics import Said, SpeechTopic

    SpeechTopic(slug=room).publish(Said(content=str(number), sender="publisher"))
    _die()


def _rolled_back(room: str, number: int) -> None:
    with transaction.atomic():
        _publish(room, number)
        transaction.set_rollback(True)


def _savepoint_rolled_back(room: str, number: int) -> None:
    """One that is not published with the transaction, and one that is."""
    with transaction.atomic():
        transaction.on_commit(_die)
        with transaction.atomic():
            _publish(room, -number)
            transaction.set_rollback(True)
        _publish(room, number)


WAYS: list[Callable[[str, int], None]] = [
    *(_killed_after_commit, _killed_soon, _killed_after_commit, _rolled_back),
    *(_killed_soon, _savepoint_rolled_back, _killed_after_commit, _killed_without_transaction),
]


def _publish(room: str, number: int) -> None:
    from harness.topics import Said, SpeechTopic

    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {DONE} VALUES (%s)", [number])
    SpeechTopic(slug=room).publish(Said(content=str(number), sender="publisher"))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
