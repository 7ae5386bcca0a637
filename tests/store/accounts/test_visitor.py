"""Visitors: whom sanctions may apply to, and who has a share of the threads for calls."""

from types import SimpleNamespace
from typing import Any

import pytest

from realtime.store.accounts.identity import Identity
from realtime.store.accounts.visitor import Visitor

USER: Any = SimpleNamespace(pk=7)


@pytest.mark.parametrize(
    ("identity", "address", "owner"),
    [
        (Identity("7", "ada", USER), "192.0.2.1", "7"),
        (Identity("7", "ada", USER), "", "7"),
        (Identity("guest:a", "Guest"), "192.0.2.1", "guests of 192.0.2.1"),
        (Identity("guest:b", "Guest"), "192.0.2.1", "guests of 192.0.2.1"),
        (Identity("guest:b", "Guest"), "", "guest:b"),
    ],
)
def test_threads_are_shared_by_users_and_by_addresses_of_guests(
    identity: Identity, address: str, owner: str
) -> None:
    """A guest costs nothing, so another one must not get another share."""
    assert Visitor(identity, address).thread_owner == owner
