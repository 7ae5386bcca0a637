"""A process that publishes from threads: `python -m benchmarks.publisher OPTIONS`, as JSON.

It says "ready", waits for a line, publishes, and prints as JSON the seconds that this took and when
each writer published each text, by the clock of the machine. With `outstanding`, each byte that it
reads after that line tells that a text has come to the last subscriber.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Semaphore, Thread
from typing import Any

from .kinds import KINDS, SENT_ONCE, Options, Publish
from .load.stream import SIZE, text_of


@dataclass
class Writer:
    """One thread: it publishes some texts at a time, in a transaction or outside of them."""

    number: int
    publish: Publish
    options: Options
    window: Semaphore | None
    sent_at: list[float] = field(default_factory=list)
    last: Any = None

    def run(self, began: float) -> None:
        """Publish until the time is over; with a rate, at that rate."""
        from django.db import connection

        try:
            while (now := time.perf_counter()) < began + self.options["seconds"]:
                if pause := self._pause(began, now):
                    time.sleep(pause)
                else:
                    self._step()
            if self.options["kind"] in SENT_ONCE:
                self.last.require()  # the layer has accepted all, and in this order
        finally:
            connection.close()  # a thread has connections of its own

    def _pause(self, began: float, now: float) -> float:
        rate = self.options.get("rate", 0) / self.options["of_writers"]
        return max(0.0, began + len(self.sent_at) / rate - now) if rate else 0.0

    def _step(self) -> None:
        number = len(self.sent_at)
        at_once = self.options.get("at_once", 1)
        size = self.options.get("text_bytes", SIZE)
        texts = [text_of(self.number, number + one, size) for one in range(1, at_once + 1)]
        feed = f"room-{self.number % self.options['topics']}"
        if self.window is not None:
            self.window.acquire()
        with self._transaction():
            if "work_seconds" in self.options:
                self._work(feed, texts[0])
            self.sent_at += [time.perf_counter()] * at_once
            self.last = self.publish(feed, texts)

    def _transaction(self) -> AbstractContextManager[None]:
        from django.db import transaction

        return transaction.atomic() if self.options["in_transaction"] else nullcontext()

    def _work(self, feed: str, text: str) -> None:
        from django.db import connection

        from .site.models import Work

        Work.objects.create(feed=feed, text=text)
        if seconds := self.options["work_seconds"]:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(%s)", [seconds])


def main() -> None:
    """Publish what the command line says."""
    options = json.loads(sys.argv[1])
    _set_up()
    publish = KINDS[options["kind"]](options)
    window = Semaphore(options["outstanding"]) if options.get("outstanding") else None
    numbers = range(options["first_writer"], options["first_writer"] + options["writers"])
    writers = [Writer(number, publish, options, window) for number in numbers]
    print("ready", flush=True)
    sys.stdin.buffer.raw.readline()
    if window is not None:
        Thread(target=_read_landings, args=[window], daemon=True).start()
    seconds = _run(writers)
    sent = {writer.number: writer.sent_at for writer in writers}
    print(json.dumps({"seconds": seconds, "sent": sent}), flush=True)


def _set_up() -> None:
    import django
    from django.conf import settings

    for database in settings.DATABASES.values():
        database.get("OPTIONS", {}).pop("pool", None)  # each thread keeps its connection
    django.setup()


def _run(writers: list[Writer]) -> float:
    """Run all writers to their end; return the seconds."""
    began = time.perf_counter()
    with ThreadPoolExecutor(len(writers)) as pool:
        for done in [pool.submit(writer.run, began) for writer in writers]:
            done.result()
    return time.perf_counter() - began


def _read_landings(window: Semaphore) -> None:
    while landed := sys.stdin.buffer.raw.read(1000):
        window.release(len(landed))


if __name__ == "__main__":
    main()
