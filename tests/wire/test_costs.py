"""What commands cost: a table that leaves none out."""

import pytest

from realtime.wire.commands import (
    COMMANDS,
    Command,
    History,
    Joins,
    JoinTarget,
    Ping,
    Subscribe,
    Subscribes,
    SubscribeTarget,
)
from realtime.wire.costs import ALLOWANCES, COSTS


def test_every_command_has_a_cost() -> None:
    assert set(COSTS) == set(COMMANDS.values())


@pytest.mark.parametrize(
    ("command", "allowance", "amount"),
    [
        (Ping(), "command", 1),
        (History(room="r", limit=100), "command", 5),
        (History(room="r", limit=50), "command", 3),
        (History(room="r", limit=1), "command", 1.04),
        (Subscribe(topic="t", history=100), "subscribe", 1),
        (Subscribes(topics=[SubscribeTarget(topic="t")] * 100), "subscribe", 100),
        (Joins(rooms=[JoinTarget(room="a"), JoinTarget(room="b")]), "join", 2),
    ],
)
def test_a_command_costs_by_what_it_asks_for(
    command: Command, allowance: str, amount: float
) -> None:
    cost = COSTS[type(command)]
    assert (cost.allowance, cost.of(command)) == (allowance, pytest.approx(amount))


def test_every_allowance_is_known() -> None:
    assert {cost.allowance for cost in COSTS.values()} == set(ALLOWANCES)
