"""The ASGI file of a site whose batches are written to the file `GATHERED`, one line each."""

import json
import os
import time
from pathlib import Path

import django

django.setup()

from django.urls import path  # noqa: E402 - needs settings

from realtime.asgi import get_asgi_application  # noqa: E402
from realtime.consumers import Consumer, Cost, frames  # noqa: E402

FREE = Cost("command", 0)


def write(texts: list[str]) -> None:
    with Path(os.environ["GATHERED"]).open("a") as file:
        file.write(json.dumps(texts) + "\n")


class Gather(Consumer):
    """Keeps texts for thirty seconds, unless there are fifty."""

    @frames(batch=50, within=30, cost=FREE)
    async def on_text(self, texts: list[str]) -> list[str]:
        write(texts)
        return texts


class GatherInThread(Consumer):
    """The same in a thread, and slower than the watchdog's first look."""

    @frames(batch=50, within=30, cost=FREE)
    def on_text(self, texts: list[str]) -> list[str]:
        time.sleep(0.4)
        write(texts)
        return texts


application = get_asgi_application(
    [path("ws/", Gather.as_asgi()), path("ws/thread/", GatherInThread.as_asgi())]
)
