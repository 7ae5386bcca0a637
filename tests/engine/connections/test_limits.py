"""How many commands a user, and the guests of an address, may send."""

import pytest
from pytest_django.fixtures import Settings

from realtime.engine.connections import limits as module
from realtime.engine.connections.limits import Limits
from realtime.store.accounts.identity import Identity
from realtime.wire import ratelimit
from tests.engine.ends import connection_of

GUEST, OTHER_GUEST = Identity("guest:1", "one"), Identity("guest:2", "two")
ADA = Identity("7", "ada", user=object())
HOME, WORK = "203.0.113.5", "2001:db8::1"


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def give(settings: Settings, **limits: float) -> Limits:
    settings.REALTIME = {**settings.REALTIME, **limits}
    return Limits()


@pytest.mark.parametrize("kind", ["message", "join", "command"])
def test_each_kind_of_command_has_an_allowance_of_its_own(
    settings: Settings, clock: Clock, kind: str
) -> None:
    limits = give(
        settings,
        MESSAGES_PER_SECOND=2,
        MESSAGES_BURST=3,
        JOINS_PER_SECOND=2,
        ROOMS_PER_CONNECTION=3,
        COMMANDS_PER_SECOND=2,
        COMMANDS_BURST=3,
    )
    assert [limits.charge(connection_of(ADA, HOME), kind) for _ in range(4)] == [0, 0, 0, 0.5]
    for other in {"message", "join", "command"} - {kind}:
        assert limits.charge(connection_of(ADA, HOME), other) == 0
    clock.now += 0.5
    assert [limits.charge(connection_of(ADA, HOME), kind) for _ in range(2)] == [0, 0.5]


def test_an_amount_beyond_the_burst_is_charged_as_the_burst(
    settings: Settings, clock: Clock
) -> None:
    """A client that joins its hundred rooms at once must be able to, some time."""
    limits = give(settings, JOINS_PER_SECOND=10, ROOMS_PER_CONNECTION=20)
    assert limits.charge(connection_of(ADA, HOME), "join", 100) == 0
    assert limits.charge(connection_of(ADA, HOME), "join", 100) == 2


def test_a_user_subscribes_to_all_topics_twice_in_a_row(settings: Settings, clock: Clock) -> None:
    """A client resumes all its topics after a reconnect, also right after it has begun."""
    limits = give(settings, SUBSCRIBES_PER_SECOND=10, TOPICS_PER_CONNECTION=100)
    taken = [limits.charge(connection_of(ADA, HOME), "subscribe", 100) for _ in range(3)]
    assert taken == [0, 0, 10]


def test_guests_of_one_address_share_what_ten_users_have(settings: Settings, clock: Clock) -> None:
    """A new name costs a guest nothing, so it must not give a new allowance without end."""
    limits = give(settings, MESSAGES_PER_SECOND=1, MESSAGES_BURST=2)
    taken = [
        limits.charge(connection_of(Identity(f"guest:{n}", "x"), HOME), "message")
        for n in range(21)
    ]
    assert taken[:20] == [0] * 20
    assert taken[20] > 0
    assert limits.charge(connection_of(GUEST, WORK), "message") == 0
    assert limits.charge(connection_of(ADA, HOME), "message") == 0


def test_a_refused_guest_costs_the_other_guests_nothing(settings: Settings, clock: Clock) -> None:
    limits = give(settings, MESSAGES_PER_SECOND=1, MESSAGES_BURST=2)
    for _ in range(100):
        limits.charge(connection_of(GUEST, HOME), "message")
    assert limits.charge(connection_of(OTHER_GUEST, HOME), "message") == 0


def test_bytes_are_owed_by_a_user_over_all_its_connections(
    settings: Settings, clock: Clock
) -> None:
    """A connection without an allowance waits until the debts of the others are paid."""
    limits = give(settings, RECEIVE_BYTES_PER_SECOND=100, RECEIVE_BYTES_BURST=1000)
    assert limits.owe(connection_of(ADA, HOME), "bytes", 1000) == 0
    assert limits.owe(connection_of(ADA, WORK), "bytes", 200) == 0
    assert limits.owe(connection_of(ADA, HOME), "bytes", 100) == 2
    assert limits.owe(connection_of(Identity("8", "bob", user=object()), HOME), "bytes", 100) == 0
    clock.now += 3
    assert limits.owe(connection_of(ADA, HOME), "bytes", 0) == 0


def test_guests_of_one_address_share_bytes_whatever_their_names(
    settings: Settings, clock: Clock
) -> None:
    """A guest that comes back under another name has the debts of its address."""
    limits = give(settings, RECEIVE_BYTES_PER_SECOND=100, RECEIVE_BYTES_BURST=1000)
    waits = [
        limits.owe(connection_of(Identity(f"guest:{n}", "x"), HOME), "bytes", 2000)
        for n in range(7)
    ]
    assert waits == [0, 0, 0, 0, 0, 0, 2]
    assert limits.owe(connection_of(Identity("guest:new", "x"), WORK), "bytes", 2000) == 0


def test_allowances_that_are_full_again_are_removed(
    settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ratelimit, "BUCKETS", 10)
    limits = give(settings, MESSAGES_PER_SECOND=1, MESSAGES_BURST=1)
    for number in range(10):
        limits.charge(connection_of(Identity(f"u{number}", "x", user=object()), HOME), "message")
    clock.now += 0.5
    limits.charge(connection_of(ADA, HOME), "message")
    assert len(limits._buckets) == 11  # none was full, so none may be removed
    clock.now += 1
    for number in range(10):  # the next search is at twice the number
        limits.charge(connection_of(Identity(f"new{number}", "x", user=object()), HOME), "message")
    assert len(limits._buckets) == 10
