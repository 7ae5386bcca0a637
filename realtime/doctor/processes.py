"""Examine the server processes: leases, and whether each one hears the others (doorbell)."""

import time
from collections.abc import Iterator

from ..conf import config
from ..engine.asking import Asked, ask
from ..models import Node
from ..store.database.alias import database
from ..store.presence import IS_ALIVE
from .finding import Finding, bad, good, warned

__all__ = ["examine_processes"]

ANSWER_SECONDS = 3.0
HEARS = "gone"
"""The answer of a process to a question for a connection that it does not have."""


def examine_processes() -> Iterator[Finding]:
    """Examine the leases of all processes, then call each living one through the channel layer."""
    nodes = list(Node.objects.using(database()).annotate(is_alive=IS_ALIVE).order_by("pk"))
    alive = [one for one in nodes if one.is_alive]
    for node in nodes:
        if not node.is_alive:
            text = f"The process {node} has ended without its last steps, and no other removed it."
            mend = f"Wait {config().lease_seconds:.0f} s, or start a server process."
            yield warned("processes", text, mend)
    if not alive:
        mend = (
            "Start a server process (docs/deploy.md#processes), or give --url: "
            "a process is known once it has served a socket."
        )
        yield bad("processes", "No server process with sockets is alive.", mend)
        return
    yield good("processes", f"{len(alive)} server processes are alive.")
    began = time.monotonic()
    # About connections that do not exist: the answer of a process shows that both ways work.
    calls = [(node, ask(f"{node.pk}.0", "doctor", {}, ANSWER_SECONDS)) for node in alive]
    for node, asked in calls:
        yield _answer(node, asked, began)


def _answer(node: Node, asked: Asked, began: float) -> Finding:
    try:
        answer = asked.result.result(max(0, began + ANSWER_SECONDS - time.monotonic()))
    except TimeoutError:
        text = f"The process {node} does not hear this one through the channel layer."
        mend = (
            "Compare CHANNEL_LAYERS (hosts, database, prefix), SITE and SECRET_KEY of both, "
            "and restart the process."
        )
        return bad("doorbell", text, mend)
    finally:
        asked.close()
    if answer.code != HEARS:
        mend = "Start Redis, and let CHANNEL_LAYERS name it in all processes (docs/deploy.md)."
        return bad("doorbell", f"The process {node} cannot be called: {answer.text}", mend)
    milliseconds = (time.monotonic() - began) * 1000
    return good("doorbell", f"The process {node} has answered after {milliseconds:.0f} ms.")
