"""Who may subscribe: many questions at once, each with its own answer."""

from asyncio import CancelledError
from collections.abc import Iterable, Sequence
from typing import Any, Self

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError, connection
from django.http import Http404
from django.test.utils import CaptureQueriesContext

from realtime.models import Room
from realtime.store.accounts.identity import Identity
from realtime.topics import Topic
from realtime.topics.rights import decide

ADA, BOB = Identity("7", "ada"), Identity("8", "bob")


def order(may: Any) -> type[Topic]:
    """A class whose `may_subscribe` is this function."""
    return type("Order", (Topic,), {"path": "order/<int:pk>", "may_subscribe": may})


def test_each_identity_has_its_own_answer() -> None:
    topic = order(lambda self: self.identity.user_id == "7" and self.pk < 3)
    asks = [topic.made({"pk": pk}, who) for pk in (1, 2, 3) for who in (ADA, BOB)]
    found = decide([*asks, *asks])
    assert [found[ask] for ask in asks] == [True, False, True, False, False, False]


def test_classes_are_asked_one_by_one() -> None:
    asked: list[int] = []

    class One(Topic):
        path = "one/<int:pk>"

        @classmethod
        def allowed(cls, asks: Sequence[Self]) -> Iterable[Self]:
            asked.append(len(asks))
            return asks

    class Other(One):
        path = "other/<int:pk>"

    asks: list[Topic] = [One.made({"pk": pk}, ADA) for pk in range(3)]
    asks += [Other.made({"pk": pk}, ADA) for pk in range(2)]
    assert all(value is True for value in decide(asks).values())
    assert asked == [3, 2]


@pytest.mark.parametrize("refusal", [PermissionDenied(), Http404(), Room.DoesNotExist()], ids=repr)
def test_an_exception_that_means_no_is_no(refusal: Exception) -> None:
    def may_subscribe(self: Any) -> bool:
        if self.pk == 2:
            raise refusal
        return True

    topic = order(may_subscribe)
    asks = [topic.made({"pk": pk}, ADA) for pk in (1, 2, 3)]
    assert list(decide(asks).values()) == [True, False, True]


@pytest.mark.parametrize(
    "failure", [ZeroDivisionError(), CancelledError(), SystemExit(1)], ids=repr
)
def test_a_failure_is_the_answer_of_one_only(
    caplog: pytest.LogCaptureFixture, failure: BaseException
) -> None:
    """No client can spoil the answers of others."""

    class Order(Topic):
        path = "order/<int:pk>"
        pk: int

        @classmethod
        def allowed(cls, asks: Sequence[Self]) -> Iterable[Self]:
            if any(ask.pk == 2 for ask in asks):
                raise failure
            return asks

    asks = [Order.made({"pk": pk}, ADA) for pk in (1, 2, 3)]
    assert list(decide(asks).values()) == [True, failure, True]
    assert "Order cannot decide on 3 topics at once" in caplog.text


def test_one_failure_among_many_costs_few_more_calls() -> None:
    calls: list[int] = []

    class Order(Topic):
        path = "order/<int:pk>"
        pk: int

        @classmethod
        def allowed(cls, asks: Sequence[Self]) -> Iterable[Self]:
            calls.append(len(asks))
            if any(ask.pk == 40 for ask in asks):
                raise ZeroDivisionError
            return asks

    asks = [Order.made({"pk": pk}, ADA) for pk in range(100)]
    assert [ask.pk for ask, answer in decide(asks).items() if answer is not True] == [40]
    assert len(calls) <= 15


@pytest.mark.parametrize("failure", [OperationalError("away"), InterfaceError("closed")])
def test_a_database_that_is_away_is_asked_once(failure: Exception) -> None:
    """Each question would fail, perhaps after a long wait for a connection."""
    calls: list[int] = []

    class Order(Topic):
        path = "order/<int:pk>"

        @classmethod
        def allowed(cls, asks: Sequence[Self]) -> Iterable[Self]:
            calls.append(len(asks))
            raise failure

    with pytest.raises(type(failure)):
        decide([Order.made({"pk": pk}, ADA) for pk in range(100)])
    assert calls == [100]


@pytest.mark.parametrize("answer", [True, None, "x"])
def test_a_wrong_answer_admits_nobody(answer: Any) -> None:
    bad = type("Bad", (Topic,), {"path": "bad", "allowed": classmethod(lambda c, a: answer)})
    assert decide([bad.made({}, ADA)])[bad.made({}, ADA)] is not True


def test_asks_of_others_admit_nobody() -> None:
    class Order(Topic):
        path = "order/<int:pk>"

        @classmethod
        def allowed(cls, asks: Sequence[Self]) -> Iterable[Self]:
            return [cls.made({"pk": 1}, BOB), cls.made({"pk": 2}, ADA)]

    ask = Order.made({"pk": 1}, ADA)
    assert decide([ask]) == {ask: False}


@pytest.mark.django_db
def test_objects_are_read_in_one_query_and_absent_ones_are_refused() -> None:
    class RoomTopic(Topic):
        model = Room
        path = "about/<slug:slug>/<slug:part>"
        slug: str

        def may_subscribe(self) -> bool:
            assert self.object.slug == self.slug
            return self.slug != "b"

    for slug in ("a", "b"):
        Room.objects.create(slug=slug)
    asks = [
        RoomTopic.made({"slug": slug, "part": part}, who)
        for slug in ("a", "b", "c")
        for part in ("x", "y")
        for who in (ADA, BOB)
    ]
    with CaptureQueriesContext(connection) as queries:
        found = decide(asks)
    assert [found[ask] for ask in asks] == [True] * 4 + [False] * 8
    assert len(queries) == 1


def test_an_older_instance_of_a_user_does_not_answer_for_a_newer_one() -> None:
    topic = order(lambda self: self.identity.user.is_staff)
    kind = get_user_model()
    users = [kind(pk=7, username="ada", is_staff=is_staff) for is_staff in (True, False)]
    old, new = (topic.made({"pk": 1}, Identity.of(user)) for user in users)
    assert decide([old, new]) == {old: True, new: False}
    assert old != new


@pytest.mark.django_db
def test_a_value_that_no_object_can_have_is_refused_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As one that is not there, and without a line that clients could cause at any rate."""

    class RoomTopic(Topic):
        model = Room
        path = "about/<str:pk>"
        pk: str

        def may_subscribe(self) -> bool:
            return True

    room = Room.objects.create(slug="a")
    values = [str(room.pk), "abc", "1.5", "\u00b2", str(2**63), str(room.pk + 1)]
    asks = [RoomTopic.made({"pk": value}, ADA) for value in values]
    assert list(decide(asks).values()) == [True] + [False] * 5
    assert caplog.text == ""
