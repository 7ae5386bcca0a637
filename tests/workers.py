"""Processes without sockets that publish, and end in different ways; run by test_workers.py."""

import asyncio
import multiprocessing
import os
import sys

import django
import msgspec

django.setup()

from django.db import connections  # noqa: E402

from realtime import push  # noqa: E402
from realtime.engine.engine import Engine  # noqa: E402


def send(name: str) -> None:
    push.everyone().send({"from": name})


def burst() -> None:
    """End right after many notes, without waiting for the layer."""
    for number in range(300):
        push.everyone().send({"n": number})


def forked() -> None:
    """As a worker of Celery: the parent has used its connections before it forks."""
    push.room("general").message("parent", username="CI")
    send("parent")
    child = os.fork()
    if child == 0:
        drop_inherited_connections()
        push.room("general").message("child", username="CI")
        send("child")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0
    process = multiprocessing.get_context("fork").Process(target=worker)
    process.start()
    process.join(20)
    assert process.exitcode == 0
    push.room("general").message("parent again", username="CI")
    send("parent again")


def worker() -> None:
    """Its last notes must not be lost with its thread."""
    drop_inherited_connections()
    for number in range(100):
        send(f"worker {number}")


def drop_inherited_connections() -> None:
    """As Celery does: the parent still uses the sockets, so they must not be closed properly."""
    for connection in connections.all(initialized_only=True):
        if connection.vendor == "postgresql" and connection.connection is not None:
            os.close(connection.connection.fileno())
    connections.close_all()
    assert Engine.running() is None


class Confirm(msgspec.Struct):
    text: str


def show(answer: dict[str, str]) -> None:
    sys.stdout.write(f"{answer['text']}\n")
    sys.stdout.flush()


def ask(connection: str) -> None:
    """As a job of Celery, whose parent has asked before it forks."""
    target = push.connection(connection)
    show(target.ask_and_wait(Confirm(text="parent"), timeout=10))
    child = os.fork()
    if child == 0:
        drop_inherited_connections()
        show(asyncio.run(target.ask(Confirm(text="child"), timeout=10)))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0
    show(target.ask_and_wait(Confirm(text="parent again"), timeout=10))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
