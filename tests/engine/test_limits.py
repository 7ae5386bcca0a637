"""Who may have how many connections and commands."""

import pytest
from pytest_django.fixtures import Settings

from realtime.engine import limits as module
from realtime.engine.limits import Limits
from realtime.store.identity import Identity
from realtime.wire.errors import CloseCode, Disconnect

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


def refusal(limits: Limits, *, address: str = "", user: str = "") -> Disconnect:
    with pytest.raises(Disconnect) as caught:
        limits.sign_in(user) if user else limits.enter(address)
    return caught.value


def test_an_address_has_so_many_connections_and_others_have_their_own(settings: Settings) -> None:
    limits = give(settings, CONNECTIONS_PER_ADDRESS=2)
    for address in (HOME, HOME, WORK, WORK):
        limits.enter(address)
    end = refusal(limits, address=HOME)
    assert (end.code, end.reconnect) == (CloseCode.CONNECTION_LIMIT, False)
    limits.leave(HOME)
    limits.enter(HOME)


def test_an_unknown_address_is_not_limited(settings: Settings) -> None:
    limits = give(settings, CONNECTIONS_PER_ADDRESS=1)
    for _ in range(5):
        limits.enter("")


def test_a_full_process_sends_clients_elsewhere_and_counts_no_refused_one(
    settings: Settings,
) -> None:
    limits = give(settings, CONNECTIONS_PER_PROCESS=2)
    limits.enter(HOME)
    limits.enter(WORK)
    for _ in range(3):
        end = refusal(limits, address="")
        assert (end.code, end.reconnect) == (CloseCode.AT_CAPACITY, True)
        assert end.retry_after is not None
        assert 1 <= end.retry_after <= 5
    limits.leave(WORK)
    limits.enter("")


def test_a_user_has_so_many_connections(settings: Settings) -> None:
    limits = give(settings, CONNECTIONS_PER_USER=2)
    for user in ("7", "7", "8"):
        limits.sign_in(user)
    assert refusal(limits, user="7").code == CloseCode.CONNECTION_LIMIT
    limits.sign_out("7")
    limits.sign_in("7")


def test_nothing_is_kept_of_those_who_have_gone(settings: Settings) -> None:
    limits = give(settings)
    limits.enter(HOME)
    limits.sign_in("7")
    limits.sign_out("7")
    limits.leave(HOME)
    assert (limits._open, limits._addresses, limits._users) == (0, {}, {})


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
    assert [limits.wait(ADA, HOME, kind) for _ in range(4)] == [0, 0, 0, 0.5]
    for other in {"message", "join", "command"} - {kind}:
        assert limits.wait(ADA, HOME, other) == 0
    clock.now += 0.5
    assert [limits.wait(ADA, HOME, kind) for _ in range(2)] == [0, 0.5]


def test_more_than_a_burst_at_once_takes_all_of_it(settings: Settings, clock: Clock) -> None:
    """A client that joins its hundred rooms at once must be able to, some time."""
    limits = give(settings, JOINS_PER_SECOND=10, ROOMS_PER_CONNECTION=20)
    assert limits.wait(ADA, HOME, "join", 100) == 0
    assert limits.wait(ADA, HOME, "join", 100) == 2


def test_guests_of_one_address_share_what_ten_users_have(settings: Settings, clock: Clock) -> None:
    """A new name costs a guest nothing, so it must not give a new allowance without end."""
    limits = give(settings, MESSAGES_PER_SECOND=1, MESSAGES_BURST=2)
    taken = [limits.wait(Identity(f"guest:{n}", "x"), HOME, "message") for n in range(21)]
    assert taken[:20] == [0] * 20
    assert taken[20] > 0
    assert limits.wait(GUEST, WORK, "message") == 0
    assert limits.wait(ADA, HOME, "message") == 0


def test_a_guest_that_is_refused_takes_nothing_from_the_others(
    settings: Settings, clock: Clock
) -> None:
    limits = give(settings, MESSAGES_PER_SECOND=1, MESSAGES_BURST=2)
    for _ in range(100):
        limits.wait(GUEST, HOME, "message")
    assert limits.wait(OTHER_GUEST, HOME, "message") == 0


def test_bytes_are_owed_by_a_user_over_all_its_connections(
    settings: Settings, clock: Clock
) -> None:
    """The first that finds nothing left waits until the others have paid."""
    limits = give(settings, RECEIVE_BYTES_PER_SECOND=100, RECEIVE_BYTES_BURST=1000)
    assert limits.owe(ADA, HOME, "bytes", 1000) == 0
    assert limits.owe(ADA, WORK, "bytes", 200) == 0
    assert limits.owe(ADA, HOME, "bytes", 100) == 2
    assert limits.owe(Identity("8", "bob", user=object()), HOME, "bytes", 100) == 0
    clock.now += 3
    assert limits.owe(ADA, HOME, "bytes", 0) == 0


def test_guests_of_one_address_share_bytes_whatever_their_names(
    settings: Settings, clock: Clock
) -> None:
    """A guest that comes back under another name has the debts of its address."""
    limits = give(settings, RECEIVE_BYTES_PER_SECOND=100, RECEIVE_BYTES_BURST=1000)
    waits = [limits.owe(Identity(f"guest:{n}", "x"), HOME, "bytes", 2000) for n in range(7)]
    assert waits == [0, 0, 0, 0, 0, 0, 2]
    assert limits.owe(Identity("guest:new", "x"), WORK, "bytes", 2000) == 0


def test_allowances_that_are_full_again_are_forgotten(
    settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUCKETS", 10)
    limits = give(settings, MESSAGES_PER_SECOND=1, MESSAGES_BURST=1)
    for number in range(10):
        limits.wait(Identity(f"u{number}", "x", user=object()), HOME, "message")
    clock.now += 0.5
    limits.wait(ADA, HOME, "message")
    assert len(limits._buckets) == 11  # none was full, so none may be forgotten
    clock.now += 1
    for number in range(10):  # it looks again when there are twice as many
        limits.wait(Identity(f"new{number}", "x", user=object()), HOME, "message")
    assert len(limits._buckets) == 10


def test_a_tenth_of_the_places_is_for_the_unknown(settings: Settings) -> None:
    """At least one."""
    for places, most in ((30, 3), (5, 1)):
        settings.REALTIME = {"CONNECTIONS_PER_PROCESS": places}
        limits = Limits()
        for _ in range(most):
            limits.wait_in()
        with pytest.raises(Disconnect) as caught:
            limits.wait_in()
        assert caught.value.code == CloseCode.AT_CAPACITY
        limits.wait_out()
        limits.wait_in()
