"""Each class of a site has a name of its own in a schema, which nothing else changes."""

from itertools import permutations
from typing import Any

from msgspec import defstruct

from realtime.schema.names import names_of
from realtime.wire import commands, events


def struct(name: str, module: str) -> Any:
    return defstruct(name, [], module=module)


def test_the_commands_of_the_protocol_end_with_that_word() -> None:
    names = names_of([commands.Ping, events.Ping, events.Member])
    assert names == {
        commands.Ping: "PingCommand",
        events.Ping: "Ping",
        events.Member: "Member",
    }


def test_a_class_of_the_site_makes_way_for_the_protocol() -> None:
    own = struct("Member", "tests.schema.site")
    names = names_of([own, events.Member])
    assert names[events.Member] == "Member"
    assert names[own] == "TestsMember"


def test_two_classes_with_one_name_get_those_of_their_apps() -> None:
    one, other = struct("Paid", "shop.topics"), struct("Paid", "bank.topics")
    alone = struct("Sent", "shop.topics")
    for order in permutations([one, other, alone]):
        names = names_of(order)
        assert names == {one: "ShopPaid", other: "BankPaid", alone: "Sent"}


def test_two_classes_of_one_app_get_the_names_of_their_modules() -> None:
    one, other = struct("Paid", "shop.a"), struct("Paid", "shop.b")
    assert names_of([one, other]) == {one: "ShopAPaid", other: "ShopBPaid"}


def test_classes_that_cannot_be_told_apart_are_numbered() -> None:
    made = [struct("Paid", "shop.topics") for _ in range(3)]
    names = names_of(made)
    assert sorted(names.values()) == ["ShopTopicsPaid2", "ShopTopicsPaid3", "ShopTopicsPaid4"]


def test_each_name_is_an_identifier() -> None:
    names = names_of([struct("Größe", "shop.größe"), struct("9", "x")])
    assert all(name.isidentifier() and name.isascii() for name in names.values())
