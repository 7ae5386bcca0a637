"""Random walks against a model: what clients, administrators and other processes do to rooms.

`main(steps, seed)` has the consumer and the store do, in this process and on its database, what
hypothesis thinks of. The last line it prints is what it counted, as JSON; before that stands the
walk that broke a promise, if there is one.
"""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from harness.client.encoding import ENCODINGS
from realtime.engine.connections import presence
from realtime.engine.database.executor import Database
from realtime.engine.delivery import catchup, follower
from realtime.engine.delivery.ring import Ring
from realtime.engine.delivery.room_topic import RoomTopic
from realtime.models import Connection, Node, Presence
from realtime.store.outbox.room_numbering import append
from tests.engine import log
from tests.faults._device import OUTSIDE, Device
from tests.faults._world import (
    CONTEXT,
    MEMBERS,
    RESUME_STATES,
    ROOMS,
    TOLD,
    Seat,
    World,
    check_screen,
    since,
)

T = TypeVar("T")
STEPS = 50
"""Of one walk."""
SMALL = [
    (catchup, "RESUME_STATES", RESUME_STATES),
    (presence, "GATHER_SECONDS", 0.001),
    (follower, "GAP_SECONDS", 0.005),
    (RoomTopic, "open_states", 4),
    (follower, "PAGE", 6),
    (Ring, "CAPACITY", RESUME_STATES),
]
"""Numbers of the engine, so small that a short walk passes every one of them."""


def drawn(choices: Callable[["Walk"], Sequence[T]]) -> st.SearchStrategy[T]:
    """One of what there is now."""
    return st.runner().flatmap(lambda walk: st.sampled_from(choices(walk)))


ONLINE = drawn(lambda walk: walk.online)
SEATS = drawn(lambda walk: walk.seats)
KEYS = drawn(lambda walk: sorted(walk.acked))
SLUGS = st.sampled_from(sorted(ROOMS))
HEARD = st.sampled_from(sorted(TOLD))
TICKS = st.integers(0, 20)
NONCE = st.none() | st.sampled_from("abcdefgh")
NONCES = st.lists(NONCE, max_size=3)
PLACE = {
    "room": SLUGS,
    "how": st.sampled_from(["as it was"] * 3 + ["from earlier"] * 3 + ["anew", "from beyond"]),
    "back": st.integers(1, 9),
    "limit": st.integers(0, 8),
}


class Walk(World, RuleBasedStateMachine):
    """What may happen, in any order, and what must hold after each."""

    # What clients do.

    @precondition(lambda walk: walk.offline)
    @rule(device=drawn(lambda walk: walk.offline), encoding=st.sampled_from(ENCODINGS), **PLACE)
    def come_back(self, device: Device, encoding: str, **place: Any) -> None:
        self.runner.run(device.open(encoding))
        self.join(device, **place)

    @precondition(lambda walk: walk.online)
    @rule(device=ONLINE, **PLACE)
    def join(self, device: Device, room: str, how: str, back: int, limit: int) -> None:
        mine, head = self.rows(room), self.head(room)
        target = {"history": limit, **since(device, room, how, back, head.last_seq)}
        reply = self.step(self._join(device, room, target))
        self._collect()
        if not self.may_enter(device, room):
            assert (reply["type"], reply["code"]) == ("error", "unknown_room")
        elif room not in self.behind:
            self._check_joined(target, reply, mine, head)

    @precondition(lambda walk: walk.seats)
    @rule(seat=SEATS)
    def leave(self, seat: Seat) -> None:
        device, room = seat
        assert self.step(self._ask(device, "leave", room=room))["type"] == "left"
        mine = Presence.objects.filter(connection=device.connection, room=self.rooms[room])
        self.runner.run(self._until(lambda: not CONTEXT.run(mine.exists)))

    @precondition(lambda walk: walk.seats)
    @rule(sent=st.lists(st.tuples(SEATS, NONCE), min_size=1, max_size=6))
    def talk(self, sent: list[tuple[Seat, str | None]]) -> None:
        self.step(self._talk(sent))
        self._collect()

    @precondition(lambda walk: walk.online)
    @rule(
        device=ONLINE,
        kind=st.sampled_from(["join", "history", "leave", "presence"]),
        room=SLUGS,
        nonces=NONCES,
        ticks=TICKS,
    )
    def vanish(
        self, device: Device, kind: str, room: str, nonces: list[str | None], ticks: int
    ) -> None:
        self.step(self._vanish(device, kind, room, nonces, ticks))

    @precondition(lambda walk: walk.online)
    @rule(device=ONLINE, kind=st.sampled_from(["message", "history", "presence"]), room=SLUGS)
    def reach_into_a_room_from_outside(self, device: Device, kind: str, room: str) -> None:
        if room not in device.rooms:
            content = {"content": "never stored"} if kind == "message" else {}
            reply = self.step(self._ask(device, kind, room=room, **content))
            assert (reply["type"], reply["code"]) == ("error", "not_joined")

    # What others do.

    @rule(
        room=SLUGS,
        sent=st.lists(st.tuples(st.integers(0, 4), NONCE), min_size=1, max_size=8),
        told=HEARD,
    )
    def another_process_stores(
        self, room: str, sent: list[tuple[int, str | None]], told: str
    ) -> None:
        saids = [self._new(self.devices[number], room, nonce) for number, nonce in sent]
        stored = append([self._draft(said) for said in saids])
        for said, one in zip(saids, stored, strict=True):
            self._acknowledge(said, one.state.id, one.state.seq)
        self.step(self._tell(room, [one.state for one in stored if one.is_new], told))

    @precondition(lambda walk: walk.acked)
    @rule(key=KEYS, told=HEARD)
    def another_process_changes(self, key: int, told: str) -> None:
        seq, said = self.acked[key]
        changed = said._replace(content=f"text {next(self.numbers)}")
        self.said[changed.content] = changed
        state = log.edit(self.rooms[said.room].pk, seq, changed.content)
        self.step(self._tell(said.room, [state], told))

    @rule()
    def the_pulse_beats(self) -> None:
        self.step(self._beat())

    @precondition(lambda walk: walk.acked)
    @rule(key=KEYS)
    def history_is_pruned(self, key: int) -> None:
        _, said = self.acked[key]
        rows = self.rows(said.room)
        through = rows[key].changed_seq
        log.purge(self.rooms[said.room].pk, through)
        gone = {key for key, row in rows.items() if row.changed_seq <= through}
        self.acked = {key: one for key, one in self.acked.items() if key not in gone}
        self.firsts = {said: key for said, key in self.firsts.items() if key not in gone}
        self.step(self._beat())

    @precondition(lambda walk: walk.members)
    @rule(name=drawn(lambda walk: sorted(walk.members)), nonces=NONCES, ticks=TICKS)
    def kick(self, name: str, nonces: list[str | None], ticks: int) -> None:
        """What its devices say, and joins on their way, end with it."""
        self.members.discard(name)
        self.step(self._kick(self.users[name], nonces, ticks))
        self._collect(may_refuse=OUTSIDE)

    @precondition(lambda walk: len(walk.members) < len(MEMBERS))
    @rule(name=drawn(lambda walk: sorted({*MEMBERS} - walk.members)))
    def forgive(self, name: str) -> None:
        self._give_membership(name)
        self.step(asyncio.sleep(0))

    # What must hold.

    @invariant()
    def all_agree(self) -> None:
        rows = {room: self.rows(room) for room in ROOMS}
        ends = {room: self.head(room).last_seq for room in {*ROOMS} - self.behind}
        self.runner.run(self._until(lambda: self._have_come(ends)))
        self._check_rows(rows)
        for device, room in self.seats:
            if room not in self.behind:
                check_screen(device, room, rows[room])
        self._check_process()
        broken = [fault for device in self.devices for fault in device.faults] + self.noise
        assert not broken, broken

    def teardown(self) -> None:
        has_failed = sys.exception() is not self.outer
        if not has_failed:
            self._finish()
        for device in self.online:
            self.runner.run(device.vanish())
        self.runner.run(self.site.__aexit__(None, None, None))
        self.runner.close()
        assert has_failed or not Node.objects.exists()

    def _finish(self) -> None:
        """All come back, repeat what was not acknowledged, see everything, and leave no trace."""
        self.runner.run(self._beat())
        self.runner.run(self._all_come())
        self._collect()
        self.all_agree()
        for device in self.online:
            self.runner.run(device.vanish())
        tables = (Connection.objects, Presence.objects)
        self.runner.run(self._until(lambda: not any(CONTEXT.run(table.exists) for table in tables)))
        self._check_process()


async def _job(db: Database, name: str, function: Callable[..., T], *args: Any) -> T:
    """The database without threads: a walk is the same each time it is walked."""
    await asyncio.sleep(0)
    result = CONTEXT.run(function, *args)  # a connection belongs to its context
    await asyncio.sleep(0)
    return result


def _walk(steps: int, number: int) -> None:
    for owner, name, value in SMALL:
        assert hasattr(owner, name), name
        setattr(owner, name, value)
    Database._run = _job  # type: ignore[assignment, method-assign]
    while (missing := steps - Walk.counts["steps"]) > 0:  # some walks are short
        chosen = settings(
            max_examples=-(-missing // STEPS),
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # to shorten one that waits in vain takes hours
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(seed(number)(Walk), settings=chosen)
        number += 1


def main(steps: int, number: int) -> None:
    """Walk so many steps, and print what came of it."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    broken = 0
    try:
        _walk(steps, number)
    except Exception:
        broken = 1
        sys.stdout.write(traceback.format_exc())
    sys.stdout.write(json.dumps({**Walk.counts, "promises broken": broken}) + "\n")
