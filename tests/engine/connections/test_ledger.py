"""A server without backpressure gets a bounded number of unacknowledged bytes."""

from realtime.engine.connections.ledger import Ledger


def test_a_client_is_pinged_at_a_fourth_and_waited_for_at_the_limit() -> None:
    ledger = Ledger(100)
    assert ledger.give(24) is None
    token = ledger.give(1)
    assert token
    assert ledger.give(74) is None
    assert not ledger.is_full
    ledger.give(1)
    assert ledger.is_full


def test_a_pong_acknowledges_the_bytes_before_its_ping() -> None:
    ledger = Ledger(100)
    token = ledger.give(60)
    ledger.give(40)
    assert ledger.acknowledge(token)
    assert not ledger.is_full
    assert ledger.give(10)


def test_only_the_token_of_the_ping_is_an_answer() -> None:
    """A client that has read nothing can only guess."""
    ledger = Ledger(100)
    first = ledger.give(100)
    for guess in (None, "", "0" * 16, 5):
        assert not ledger.acknowledge(guess)
    assert ledger.is_full
    assert ledger.acknowledge(first)
    assert not ledger.acknowledge(first)
