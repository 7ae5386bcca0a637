"""The world that walks happen in: clients, a process under test, and what must be true of them."""

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from typing import Any, TypeVar

from django.contrib.auth import get_user_model

from harness.client.encoding import ENCODINGS, Object
from harness.site import UNLIMITED
from realtime import testing
from realtime.engine.delivery.comparison import differences
from realtime.engine.delivery.room_topic import room_event
from realtime.models import Log, Membership, Message, Room
from realtime.store.messages import history
from realtime.store.messages.drafts import Draft
from realtime.wire.events import MessageState
from tests.faults._device import Device, Said, Shown, shown
from tests.store.conftest import empty

__all__ = [
    "CONTEXT",
    "MEMBERS",
    "RESUME_STATES",
    "ROOMS",
    "TOLD",
    "Seat",
    "World",
    "check_screen",
    "since",
]

T = TypeVar("T")
ROOMS = {"general": "public", "other": "public", "secret": "private"}
MEMBERS = ["ada", "bob"]
OWNERS = {"ada's phone": "ada", "ada's desk": "ada", "bob's": "bob", "guest 1": "", "guest 2": ""}
TURNS = 10_000
"""How often the event loop turns, at least 1 ms each time, until what must come counts as lost.

A deadline in seconds would pass while the machine runs something else.
"""
DRAIN_SECONDS = 60.0
RESUME_STATES = 8
SETTINGS = {
    **UNLIMITED,
    "GUESTS": True,
    "LEASE_SECONDS": 3600,
    "PULSE_SECONDS": 3600,  # it beats when a rule says so
    "PRESENCE_GRACE_SECONDS": 0,
}
TOLD: dict[str, Callable[[list[Any]], list[Any]]] = {
    "in order": lambda states: states,
    "backwards": lambda states: states[::-1],
    "twice": lambda states: states * 2,
    "only the last": lambda states: states[-1:],
    "nothing": lambda _: [],
}
"""What a process may hear of what another one has stored."""
Seat = tuple[Device, str]
CONTEXT = copy_context()


class World:
    """Two users with three devices and two guests, in two public rooms and a private one."""

    counts: Counter[str] = Counter()

    def __init__(self) -> None:
        super().__init__()
        empty()
        self.rooms = {slug: Room.objects.create(slug=slug, kind=ROOMS[slug]) for slug in ROOMS}
        self.users = {name: get_user_model().objects.create_user(name) for name in MEMBERS}
        self.members: set[str] = set()
        for name in MEMBERS:
            self._give_membership(name)
        self.devices = [Device(name, ROOMS, self.users.get(OWNERS[name])) for name in OWNERS]
        self.numbers = itertools.count(1)
        self.said: dict[str, Said] = {}
        self.acked: dict[int, tuple[int, Said]] = {}
        self.firsts: dict[Said, int] = {}
        self.uncertain: set[str] = set()
        """What was sent and never answered: it may be stored, or not."""
        self.behind: set[str] = set()
        """Rooms with something stored that the process under test has not been told of."""
        self.noise: list[str] = []
        self.outer = sys.exception()
        self.runner = asyncio.Runner()
        self.runner.get_loop().set_exception_handler(lambda _, what: self.noise.append(repr(what)))
        self.site = testing.engine(**SETTINGS)
        self.engine = self.runner.run(self.site.__aenter__())
        self.runner.run(self._all_come())

    @property
    def online(self) -> list[Device]:
        return [device for device in self.devices if device.line]

    @property
    def offline(self) -> list[Device]:
        return [device for device in self.devices if not device.line]

    @property
    def seats(self) -> list[Seat]:
        return [(device, room) for device in self.devices for room in device.rooms]

    # What must hold.

    def _have_come(self, ends: dict[str, int]) -> bool:
        """Whether clients and the process have taken all there is."""
        positions = [(room, device.screens[room].position) for device, room in self.seats]
        positions += [(topic.slug, topic.position.seq) for topic in self.engine.hub.rooms]
        return all(position >= ends.get(room, 0) for room, position in positions)

    def _check_rows(self, rooms: dict[str, dict[int, Message]]) -> None:
        for room, rows in rooms.items():
            for key, row in rows.items():
                nonce = None if row.nonce.startswith("~") else row.nonce
                assert (room, row.sender, nonce) == self.said[row.content][:3], vars(row)
                assert key in self.acked or row.content in self.uncertain, vars(row)
        for key, (seq, said) in self.acked.items():
            assert key in rooms[said.room], f"acknowledged, and not stored: {said}"
            assert rooms[said.room][key].seq == seq, (said, seq)

    def _check_joined(
        self, target: Object, reply: Object, rows: dict[int, Message], head: Log
    ) -> None:
        assert (reply["through"], reply["epoch"]) == (head.last_seq, head.epoch), reply
        seq, is_resumed = target.get("since", {"seq": -1})["seq"], reply["recovered"]
        missed = sorted((_shown(row) for row in rows.values() if row.changed_seq > seq), key=_last)
        most = RESUME_STATES - (not is_resumed)  # beyond a full ring it need not look
        is_known = head.purged_seq <= seq <= head.last_seq
        assert is_resumed == (is_known and len(missed) <= most), (target, reply)
        newest = list(map(_shown, rows.values()))[-target["history"] or len(rows) :]
        expected = missed if is_resumed else newest
        assert list(map(shown, reply["messages"])) == expected, (target, reply, expected)
        assert reply["has_more"] == (not is_resumed and len(rows) > len(newest)), (target, reply)
        self.counts["missed and resumed"] += len(missed) if is_resumed else 0

    def _check_process(self) -> None:
        live = {device.connection for device in self.online}
        assert set(self.engine.connections) == live, (self.engine.connections, live)
        for topic in self.engine.hub.rooms:
            here = {device.connection for device, room in self.seats if room == topic.slug}
            assert set(topic.members) == here, (topic.slug, set(topic.members), here)

    # How it is done.

    def step(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Do something, and count it."""
        self.counts["steps"] += 1
        return self.runner.run(coroutine)

    def may_enter(self, device: Device, room: str) -> bool:
        """Whether it is public, or the device is of a member."""
        return room != "secret" or any(self.users[name] == device.user for name in self.members)

    def rows(self, room: str) -> dict[int, Message]:
        """What is stored of a room, in the order of places."""
        return {row.pk: row for row in Message.objects.filter(room__slug=room).order_by("seq")}

    def head(self, room: str) -> Log:
        """Where its log ends."""
        history.mark(self.rooms[room].pk)
        return Log.objects.get(room__slug=room)

    async def _until(self, condition: Callable[[], object]) -> None:
        for _ in range(TURNS):
            for device in self.devices:
                device.read()
            if condition():
                return
            await asyncio.sleep(0.001)
        raise AssertionError([vars(device) for device in self.devices])

    async def _ask(self, device: Device, kind: str, **fields: Any) -> Object:
        ref = await device.ask(kind, **fields)
        await self._until(lambda: ref in device.answers)
        return device.answers.pop(ref)

    async def _join(self, device: Device, room: str, target: Object) -> Object:
        reply = await self._ask(device, "join", room=room, **target)
        if reply["type"] == "joined":
            await device.repeat(room)
            await self._until(lambda: device.is_answered(room))
        return reply

    async def _say(self, device: Device, room: str, nonce: str | None) -> None:
        await device.say(self._new(device, room, nonce))

    async def _talk(self, sent: list[tuple[Seat, str | None]]) -> None:
        for (device, room), nonce in sent:
            await self._say(device, room, nonce)
        await self._until(lambda: all(device.is_answered(room) for (device, room), _ in sent))

    async def _vanish(
        self, device: Device, kind: str, room: str, nonces: list[str | None], ticks: int
    ) -> None:
        for nonce in nonces if room in device.rooms else ():
            await self._say(device, room, nonce)
        await device.ask(kind, room=room)
        await _tick(ticks)
        self.uncertain |= {said.content for said in await device.vanish()}
        await self.engine.writer.drain(DRAIN_SECONDS)

    async def _tell(self, room: str, states: list[MessageState], told: str) -> None:
        """Let the process under test hear of what was stored, well or badly."""
        pk = self.rooms[room].pk
        epoch = (await self.engine.db.read(history.mark, pk)).epoch
        heard = TOLD[told](states)
        for state in heard:
            self.engine.hub.publish(history.room_key(pk), room_event(room, state).note(epoch))
        if heard:
            self.behind.discard(room)
        elif states:
            self.behind.add(room)

    async def _beat(self) -> None:
        """What the pulse does with rooms."""
        engine = self.engine
        positions, marks = await engine.db.pulse(differences, engine.hub.logs)
        engine.hub.compare(positions, marks)
        engine.hub.recheck(marks)
        self.behind.clear()

    async def _kick(self, user: Any, nonces: list[str | None], ticks: int) -> None:
        mine = [device for device in self.online if device.user == user]
        inside = [device for device in mine if "secret" in device.rooms]
        for device, nonce in itertools.product(inside, nonces):
            await self._say(device, "secret", nonce)
        joins = {one: await one.ask("join", room="secret") for one in mine if one not in inside}
        await _tick(ticks)
        await self.engine.db.read(_revoke, user)
        await self._beat()
        await self._until(lambda: all(ref in device.answers for device, ref in joins.items()))
        await self._until(
            lambda: (
                not any("secret" in device.rooms for device in mine)
                and all(device.is_answered("secret") for device in inside)
            )
        )

    def _collect(self, may_refuse: Sequence[str] | set[str] = ()) -> None:
        """Hold acknowledgements against what was acknowledged before."""
        for device in self.devices:
            for said, ack in device.acks:
                self._acknowledge(said, ack["id"], ack["seq"])
            for said, code in device.refusals:
                assert code in may_refuse, (said, code)
            device.acks.clear()
            device.refusals.clear()

    def _acknowledge(self, said: Said, key: int, seq: int) -> None:
        if said.nonce is None:
            assert key not in self.acked, f"{said} got the place of {self.acked[key]}"
        else:
            first = self.firsts.setdefault(said._replace(content=""), key)
            assert first == key, f"{said} is stored twice"
        known = self.acked.setdefault(key, (seq, said))
        assert (known[0], known[1][:3]) == (seq, said[:3]), (known, seq, said)
        self.counts["acknowledged"] += 1

    def _new(self, device: Device, room: str, nonce: str | None) -> Said:
        said = Said(room, device.user_id, nonce, f"text {next(self.numbers)}")
        self.said[said.content] = said
        return said

    def _draft(self, said: Said) -> Draft:
        made = {"nonce": said.nonce} if said.nonce else {}
        pk, sender = self.rooms[said.room].pk, said.sender
        return Draft(room_id=pk, content=said.content, sender=sender, username=sender, **made)

    def _give_membership(self, name: str) -> None:
        Membership.objects.create(room=self.rooms["secret"], user=self.users[name])
        self.members.add(name)

    async def _all_come(self) -> None:
        """Each into all rooms that it may enter; repeats what was not acknowledged."""
        for device, encoding in zip(self.devices, itertools.cycle(ENCODINGS), strict=False):
            if device.line is None:
                await device.open(encoding)
            for room in ROOMS:
                if room not in device.rooms and self.may_enter(device, room):
                    await self._join(device, room, since(device, room))


def since(device: Device, room: str, how: str = "as it was", back: int = 0, end: int = 0) -> Object:
    screen = device.screens[room]
    if how == "anew" or not screen.epoch:
        return {}
    if how == "from earlier":
        screen.go_back(max(0, screen.position - back))
    target = screen.target
    if how == "from beyond":
        target["since"]["seq"] = end + back
    return target


def check_screen(device: Device, room: str, rows: dict[int, Message]) -> None:
    screen = device.screens[room]
    due = {
        key: _shown(row)
        for key, row in rows.items()
        if row.changed_seq > screen.floor or key in screen.messages
    }
    kept = {key: one for key, one in screen.shown.items() if key in rows}  # others were pruned
    assert kept == due, (device, room, kept, due)


def _shown(row: Message) -> Shown:
    return row.seq, row.changed_seq, row.content


def _last(one: Shown) -> int:
    return one[1]


def _revoke(user: Any) -> None:
    Membership.objects.get(room__slug="secret", user=user).delete()


async def _tick(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)
