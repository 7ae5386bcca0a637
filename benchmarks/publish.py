"""Measure how fast a site publishes to topics in its transactions, on a PostgreSQL of its own.

python -m benchmarks.publish [--seconds 5] [--writers 50] [--logs 10]

The writers are threads of some processes, as a site has them. Each of their transactions has work
of its own (`pg_sleep`). Nobody numbers but the writers themselves, which is the worst case.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from threading import Thread

PROCESSES = 2
WORK_SECONDS = 0.003
DATA = '{"total": "9.99", "note": "0123456789012345678901234567890123456789"}'


def main() -> None:
    """Print the figures of each case."""
    options = _options()
    from harness.services import Services
    from harness.site import Sites

    services = Services()
    try:
        os.environ["DATABASE_URL"] = Sites(services).database_url("postgres")
        os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
        _set_up()
        _one_process(options.seconds)
        for name, logs, publishes in (
            ("no event", 0, False),
            (f"{options.logs} logs", options.logs, True),
            ("one hot log", 1, True),
        ):
            rate = _many(options, logs, publishes)
            print(f"{options.writers} writers, {name}: {rate:,.0f} transactions/s", flush=True)
    finally:
        services.stop()


def _set_up() -> None:
    import django
    from django.db import connections

    django.setup()
    connections.settings["default"]["OPTIONS"].pop("pool", None)  # a connection for each writer


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publish", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--writers", type=int, default=50)
    parser.add_argument("--logs", type=int, default=10)
    return parser.parse_args()


def _one_process(seconds: float) -> None:
    from django.db import transaction

    from realtime.store.outbox import pending
    from realtime.store.topics.drafts import EntryDraft

    one = EntryDraft(topic="order/1", type="paid", data=DATA)

    def each_in_one_transaction() -> int:
        with transaction.atomic():
            for _ in range(1000):
                pending.publish([one])
        return 1000

    def many_at_once() -> int:
        with transaction.atomic():
            pending.publish([one] * 1000)
        return 1000

    def a_transaction_each() -> int:
        with transaction.atomic():
            pending.publish([one])
        return 1

    def without_a_transaction() -> int:
        pending.publish([one])
        return 1

    def without_a_transaction_many() -> int:
        pending.publish([one] * 1000)
        return 1000

    for case in (
        each_in_one_transaction,
        many_at_once,
        a_transaction_each,
        without_a_transaction,
        without_a_transaction_many,
    ):
        name = case.__name__.replace("_", " ")
        print(f"one process, {name}: {_rate(case, seconds):,.0f} publishes/s", flush=True)


def _rate(case: Callable[[], int], seconds: float) -> float:
    case()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        count += case()
    return count / (time.perf_counter() - began)


def _many(options: argparse.Namespace, logs: int, publishes: bool) -> float:
    context = multiprocessing.get_context("spawn")
    counts = context.Queue()
    threads = options.writers // PROCESSES
    processes = [
        context.Process(target=_writers, args=(threads, logs, publishes, options.seconds, counts))
        for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    total = sum(counts.get() for _ in processes)
    for process in processes:
        process.join()
    return total / options.seconds


def _writers(
    threads: int, logs: int, publishes: bool, seconds: float, counts: "multiprocessing.Queue[int]"
) -> None:
    _set_up()
    done: list[int] = []
    started = time.perf_counter() + 2  # every process has started by then

    def write(number: int) -> None:
        done.append(_write(number, logs, publishes, started, started + seconds))

    workers = [Thread(target=write, args=[number]) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    counts.put(sum(done))


def _write(number: int, logs: int, publishes: bool, start: float, end: float) -> int:
    from django.db import connection, transaction

    from realtime.store.outbox import pending
    from realtime.store.topics.drafts import EntryDraft

    draft = EntryDraft(topic=f"order/{number % max(logs, 1)}", type="paid", data=DATA)
    count = 0
    while (now := time.perf_counter()) < end:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(%s)", [WORK_SECONDS])
            if publishes:
                pending.publish([draft])
        count += now >= start
    connection.close()
    return count


if __name__ == "__main__":
    main()
