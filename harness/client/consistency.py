"""Compare what clients have sent, got acknowledged and show with the stored messages."""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

from harness.client.chatter import Chatter
from harness.client.room_view import RoomView
from harness.database import Database

__all__ = ["NOTHING_BROKEN", "all_caught_up", "compare", "reckon"]

NOTHING_BROKEN: dict[str, float] = dict.fromkeys(
    (
        "acked lost",
        "stored twice",
        "not shown",
        "shown wrong",
        "out of order",
        "unanswered",
        "holes",
    ),
    0,
)
"""The differences that `reckon` counts, with the allowed numbers."""


async def all_caught_up(
    chatters: Iterable[Chatter], database: Database, timeout: float = 60
) -> None:
    """Wait until each client has its answers, and has reached the end of its rooms' logs."""
    chatters = list(chatters)
    rooms = {room for chatter in chatters for room in chatter.known}
    restarts: list[tuple[int, int]] = []
    # A client that learns late that a log has begun anew sends messages again. Other messages
    # may be sent all the time.
    while restarts != (restarts := [(one.restarts, one.resent) for one in chatters]):
        ends = {room: _end(database, room) for room in rooms}
        for chatter in chatters:
            await chatter.until(partial(_is_answered, chatter), timeout)
            for room, known in chatter.known.items():
                await chatter.until(partial(_has_come, known, *ends[room]), timeout)


def _end(database: Database, room: str) -> tuple[int, int, str]:
    return database.last_seq(room), len(database.messages(room)), database.epoch(room)


def _is_answered(chatter: Chatter) -> bool:
    return chatter.is_answered


def _has_come(known: RoomView, end: int, rows: int, epoch: str) -> bool:
    is_told = epoch in ("", known.epoch)  # of a log that has begun anew
    return is_told and known.position >= end and len(known.messages) >= rows


def compare(chatters: Iterable[Chatter], database: Database) -> None:
    """Check that rows, acks and clients agree: each message once, in order, no hole in `seq`."""
    found = differences(list(chatters), database)
    assert not any(found.values()), {kind: list(ones)[:5] for kind, ones in found.items()}


def reckon(chatters: Iterable[Chatter], database: Database, above: int = 0) -> dict[str, float]:
    """Return the number of differences of each kind: all must be 0."""
    return {kind: len(ones) for kind, ones in differences(list(chatters), database, above).items()}


def differences(
    chatters: list[Chatter], database: Database, above: int = 0
) -> dict[str, list[Any]]:
    """Return the differences between rows, acks and clients, by kind; only `above` that `seq`.

    `acked lost` has no row; `stored twice` has a row more than acks; `not shown` and `shown wrong`
    are what a client's screen lacks, or has beyond the rows; `out of order` are gaps, repeats and
    other broken promises on the way; `unanswered` never got an ack; `holes` lack a `seq`.
    """
    stored = {
        room: [row for row in database.messages(room) if row.seq > above]
        for room in sorted({room for chatter in chatters for room in chatter.known})
    }
    rows = Counter((room, *row) for room, found in stored.items() for row in found)
    acks = Counter(
        (sent["room"], ack["seq"], str(ack["id"]), chatter.user_id, sent["content"])
        for chatter in chatters
        for nonce, ack in chatter.acks.items()
        for sent in [chatter.sent[nonce]]
        if ack["seq"] > above
    )
    found: dict[str, list[Any]] = {
        "acked lost": list((acks - rows).elements()),
        "stored twice": list((rows - acks).elements()),
        "not shown": [],
        "shown wrong": [],
        "out of order": [fault for chatter in chatters for fault in chatter.faults],
        "unanswered": [
            sent
            for chatter in chatters
            for nonce, sent in chatter.sent.items()
            if nonce not in chatter.acks
        ],
        "holes": [
            (room, seq)
            for room, ones in stored.items()
            for seq in {*range(above + 1, above + len(ones) + 1)} - {row.seq for row in ones}
        ],
    }
    for chatter in chatters:
        for room, known in chatter.known.items():
            shown = Counter(
                (one["seq"], str(one["id"]), one["content"])
                for one in known.messages.values()
                if one["seq"] > above
            )
            there = Counter((row.seq, row.id, row.content) for row in stored[room])
            found["not shown"] += [(chatter.name, room, *one) for one in there - shown]
            found["shown wrong"] += [(chatter.name, room, *one) for one in shown - there]
    return found
