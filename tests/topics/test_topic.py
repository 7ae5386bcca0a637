"""Topics: instances of a class, with the values of its path."""

from collections.abc import Iterable, Sequence
from typing import Any, Self

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured

from realtime.errors import CommandError, ErrorCode
from realtime.models import Room
from realtime.store.accounts.identity import Identity
from realtime.topics import Topic

ADA = Identity("7", "ada")


def test_an_instance_has_the_values_of_its_path() -> None:
    class Seat(Topic):
        path = "game/<slug:game>/<int:row>"
        game: str
        row: int

    seat = Seat(game="a", row="07")  # type: ignore[arg-type]
    assert (seat.name, seat.game, seat.row) == ("game/a/7", "a", 7)
    assert repr(seat) == "<Seat game/a/7>"
    assert seat == Seat(game="a", row=7)
    assert seat != Seat(game="a", row=8)
    assert seat != Seat.made({"game": "a", "row": 7}, ADA)
    assert len({seat, Seat(game="a", row=7)}) == 1


def test_an_instance_of_the_sites_code_has_no_identity() -> None:
    class Dashboard(Topic):
        path = "dashboard"

    with pytest.raises(AttributeError, match="made by the site's code, not for a client"):
        _ = Dashboard().identity


def test_nobody_may_subscribe_by_default() -> None:
    class Dashboard(Topic):
        path = "dashboard"

    ask = Dashboard.made({}, ADA)
    assert not ask.may_subscribe()
    assert list(Dashboard.allowed([ask])) == []


@pytest.mark.parametrize("name", ["may_subscribe", "allowed", "queryset"])
def test_a_coroutine_is_no_consent(name: str) -> None:
    """It would be true for every user."""

    async def method(self: Any) -> bool:
        return False

    with pytest.raises(TypeError, match=rf"Bad.{name} is async: write `def {name}"):
        type("Bad", (Topic,), {"path": "bad", name: method})


@pytest.mark.parametrize("name", ["allowed", "queryset"])
def test_a_question_about_many_belongs_to_the_class(name: str) -> None:
    with pytest.raises(TypeError, match=rf"Bad.{name} .+ mark it with `@classmethod`"):
        type("Bad", (Topic,), {"path": "bad", name: lambda self, asks: asks})


def test_a_hidden_coroutine_is_no_consent_either() -> None:
    async def answer() -> bool:
        return False

    coroutine = answer()
    bad = type("Bad", (Topic,), {"path": "bad", "may_subscribe": lambda self: coroutine})
    with pytest.raises(TypeError, match="may_subscribe is async"):
        bad.allowed([bad.made({}, ADA)])  # type: ignore[attr-defined]
    coroutine.close()


def test_an_own_batch_replaces_the_question() -> None:
    class Order(Topic):
        path = "order/<int:pk>"
        pk: int

        @classmethod
        def allowed(cls, asks: Sequence[Self]) -> Iterable[Self]:
            return (ask for ask in asks if ask.pk == 7)

    asks = [Order.made({"pk": pk}, ADA) for pk in (6, 7)]
    assert list(Order.allowed(asks)) == asks[1:]


class TestModel:
    """A topic about a model object."""

    @pytest.mark.django_db
    def test_a_topic_has_its_object(self) -> None:
        class RoomTopic(Topic):
            model = Room
            path = "about/<slug:slug>"

        room = Room.objects.create(slug="a")
        assert RoomTopic.of(room).name == "about/a"
        assert RoomTopic.of(room).object is room
        assert RoomTopic(slug="a").object == room  # type: ignore[call-arg]
        assert async_to_sync(RoomTopic(slug="a").aobject)() == room  # type: ignore[call-arg]

    @pytest.mark.django_db
    def test_an_absent_object_is_an_unknown_topic(self) -> None:
        class RoomTopic(Topic):
            model = Room
            path = "about/<int:pk>"

        with pytest.raises(CommandError) as caught:
            _ = RoomTopic(pk=2**63 - 1).object  # type: ignore[call-arg]
        assert caught.value.code == ErrorCode.UNKNOWN_TOPIC
        with pytest.raises(ValueError, match="save the object first"):
            RoomTopic.of(Room(slug="a"))

    @pytest.mark.django_db
    def test_values_without_a_field_are_given(self) -> None:
        class RoomTopic(Topic):
            model = Room
            path = "about/<slug:slug>/<slug:part>"

        room = Room.objects.create(slug="a")
        topic = RoomTopic.of(room, part="title")
        assert (topic.name, topic.lookup) == ("about/a/title", {"slug": "a"})
        assert RoomTopic(slug="a", part="x").object == room  # type: ignore[call-arg]

    def test_another_object_is_told(self) -> None:
        class RoomTopic(Topic):
            model = Room
            path = "about/<int:pk>"

        class Plain(Topic):
            path = "plain/<int:pk>"

        with pytest.raises(TypeError, match="is about Room objects, not User"):
            RoomTopic.of(get_user_model()(pk=1))
        with pytest.raises(ImproperlyConfigured, match="write `model = …` in the class"):
            Plain.of(Room(pk=1))
