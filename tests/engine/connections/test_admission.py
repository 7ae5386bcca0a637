"""The limits of connections by process, address and user, and the pings of silent connections."""

from collections.abc import Iterable

import pytest
from pytest_django.fixtures import Settings

from realtime.engine.connections import admission as module
from realtime.engine.connections.admission import PROBE_SECONDS, PROBES, Admission, Slot
from realtime.store.accounts.addresses import network_of
from realtime.store.accounts.identity import Identity
from realtime.wire.errors import CloseCode, Disconnect

HOME, WORK = "203.0.113.5", "2001:db8::/64"


def user(number: int = 1) -> Identity:
    return Identity(str(number), f"user {number}", user=object())


def guest(number: int = 1) -> Identity:
    return Identity(f"guest:{number}", f"guest {number}")


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Holder:
    """A connection whose client has been silent for so many seconds."""

    def __init__(self, identity: Identity, address: str, silent_seconds: float) -> None:
        self.identity, self.address, self.silent_seconds = identity, address, silent_seconds
        self.probes: list[float] = []

    def probe(self, seconds: float) -> bool:
        self.probes.append(seconds)
        return self.silent_seconds > 1


class Process:
    """An admission, and its clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.holders: list[Holder] = []
        self.admission = Admission(lambda: self.holders)

    def arrive(self, address: str = HOME) -> Slot:
        slot = Slot(self.admission, address)
        slot.acquire()
        return slot

    def connect(self, identity: Identity, address: str = HOME) -> Slot:
        slot = Slot(self.admission, address)
        self._connect(slot, identity)
        return slot

    def refused(self, identity: Identity | None = None, address: str = HOME) -> Disconnect:
        """How one more is refused; then it has left again."""
        slot = Slot(self.admission, address)
        with pytest.raises(Disconnect) as caught:
            slot.acquire() if identity is None else self._connect(slot, identity)
        slot.release()
        assert caught.value.reconnect
        assert caught.value.retry_after is not None
        return caught.value

    def _connect(self, slot: Slot, identity: Identity) -> None:
        slot.acquire()
        slot.authenticate(identity)

    def counts(self) -> Iterable[object]:
        one = self.admission
        return (
            one.open,
            one.unauthenticated,
            one.guests,
            *map(dict, (one.arriving, one.guests_of, one.users_of, one.connections_of)),
        )


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return Process(clock)


@pytest.fixture(autouse=True)
def limits(settings: Settings) -> Settings:
    settings.REALTIME = {"HANDSHAKES_BURST": 10_000}
    return settings


def limit(settings: Settings, **limits: float) -> None:
    settings.REALTIME = {**settings.REALTIME, **limits}


def test_users_and_guests_of_an_address_have_separate_shares(
    process: Process, limits: Settings
) -> None:
    limit(limits, CONNECTIONS_PER_ADDRESS=2)
    slots = [process.connect(make(number)) for make in (guest, user) for number in (1, 2)]
    assert process.refused(guest(3)).code == CloseCode.CROWDED
    assert process.refused(user(3)).code == CloseCode.CROWDED
    process.connect(guest(3), WORK)
    slots[0].release()
    process.connect(guest(4))
    assert process.refused(user(3)).code == CloseCode.CROWDED


def test_sockets_that_have_yet_to_authenticate_have_a_share_of_an_address(
    process: Process, limits: Settings
) -> None:
    """Authenticating a client costs queries, so the number of clients that wait is bounded."""
    limit(limits, CONNECTIONS_PER_ADDRESS=2)
    slot, _ = process.arrive(), process.arrive()
    assert process.refused().code == CloseCode.CROWDED
    slot.authenticate(user())
    process.arrive()


def test_an_unknown_address_is_not_limited(process: Process, limits: Settings) -> None:
    limit(limits, CONNECTIONS_PER_ADDRESS=1, HANDSHAKES_BURST=1)
    for number in range(5):
        process.connect(guest(number), "")


def test_a_user_has_so_many_connections(process: Process, limits: Settings) -> None:
    limit(limits, CONNECTIONS_PER_USER=2)
    slot, _, _ = process.connect(user()), process.connect(user()), process.connect(user(2))
    assert process.refused(user()).code == CloseCode.CROWDED
    slot.release()
    process.connect(user())


def test_a_full_process_sends_clients_elsewhere(process: Process, limits: Settings) -> None:
    limit(limits, CONNECTIONS_PER_PROCESS=2)
    slot, _ = process.connect(user(1)), process.connect(user(2))
    end = process.refused()
    assert end.code == CloseCode.AT_CAPACITY
    assert 1 <= (end.retry_after or 0) <= 5
    slot.release()
    process.connect(user(3))


def test_guests_cannot_fill_a_process(process: Process, limits: Settings) -> None:
    limit(limits, CONNECTIONS_PER_PROCESS=20, CONNECTIONS_PER_ADDRESS=100)
    for number in range(18):
        process.connect(guest(number))
    assert process.refused(guest(18)).code == CloseCode.AT_CAPACITY
    process.connect(user(1))
    process.connect(user(2))


@pytest.mark.parametrize(("places", "most"), [(30, 3), (5, 1)])
def test_a_tenth_of_the_slots_is_for_unauthenticated_clients(
    process: Process, limits: Settings, places: int, most: int
) -> None:
    """At least one."""
    limit(limits, CONNECTIONS_PER_PROCESS=places)
    slots = [process.arrive() for _ in range(most + 1)]
    for slot in slots[:-1]:
        slot.start_waiting()
    with pytest.raises(Disconnect) as caught:
        slots[-1].start_waiting()
    assert caught.value.code == CloseCode.AT_CAPACITY
    slots[0].authenticate(user())
    slots[-1].start_waiting()


def test_another_identity_counts_for_another_share(process: Process, limits: Settings) -> None:
    limit(limits, CONNECTIONS_PER_USER=1)
    process.connect(user())
    slot = process.connect(guest())
    with pytest.raises(Disconnect):
        slot.authenticate(user())
    assert process.refused(guest()).code == CloseCode.CROWDED  # it is still that guest
    slot.authenticate(user(2))
    process.connect(guest())


def test_nothing_is_kept_of_closed_connections(process: Process) -> None:
    before = process.counts()
    slots = [process.connect(guest()), process.connect(user()), process.arrive(), process.arrive()]
    slots[-1].start_waiting()
    for slot in [*slots, *slots]:
        slot.release()
    Slot(process.admission, HOME).release()
    assert process.counts() == before == (0, 0, 0, {}, {}, {}, {})


def test_a_refusal_pings_silent_connections_of_the_same_kind(
    process: Process, limits: Settings
) -> None:
    """It pings no others, and once a second only, because each search compares all."""
    limit(limits, CONNECTIONS_PER_USER=1)
    process.connect(user())
    process.holders = [mine, other] = [Holder(user(), HOME, 30), Holder(user(2), HOME, 60)]
    for _ in range(2):
        end = process.refused(user())
        assert PROBE_SECONDS <= (end.retry_after or 0) <= 2 * PROBE_SECONDS
    assert (mine.probes, other.probes) == ([PROBE_SECONDS], [])
    process.clock.now += 1
    process.refused(user())
    assert len(mine.probes) == 2


def test_a_client_reconnects_later_if_no_connection_is_silent(
    process: Process, limits: Settings
) -> None:
    limit(limits, CONNECTIONS_PER_USER=1)
    process.connect(user())
    process.holders = [Holder(user(), HOME, 0.5)]
    assert (process.refused(user()).retry_after or 0) >= 30


def test_the_most_silent_connections_are_pinged(process: Process, limits: Settings) -> None:
    """A refused guest pings only guests, and only those of its address."""
    limit(limits, CONNECTIONS_PER_ADDRESS=1)
    process.connect(guest())
    process.holders = [Holder(guest(number), HOME, number) for number in range(2 * PROBES)]
    others = [Holder(user(), HOME, 999), Holder(guest(), WORK, 999)]
    process.holders += others
    process.refused(guest(2))
    assert [len(one.probes) for one in process.holders] == [0] * PROBES + [1] * PROBES + [0, 0]


def test_a_full_process_makes_room_as_well(process: Process, limits: Settings) -> None:
    limit(limits, CONNECTIONS_PER_PROCESS=1)
    process.connect(user())
    process.holders = [Holder(user(), HOME, 30)]
    process.refused(user(2), WORK)
    assert len(process.holders[0].probes) == 1


def test_handshakes_of_an_address_have_an_allowance(process: Process, limits: Settings) -> None:
    """An IPv6 client may have all addresses of its /64, so they share one."""
    limit(limits, HANDSHAKES_PER_SECOND=1, HANDSHAKES_BURST=3, TRUSTED_PROXIES=1)
    for number in range(3):
        process.arrive(network_of(f"2001:db8::{number}")).release()
    end = process.refused(address=network_of("2001:db8::ffff:1"))
    assert end.code == CloseCode.RATE_LIMITED
    process.arrive(network_of("2001:db8:0:1::1"))
    process.clock.now += 1
    process.arrive(network_of("2001:db8::4"))
