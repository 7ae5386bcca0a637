"""What a request publishes is recorded with the state of its transactions."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import transaction

from realtime import push
from realtime.models import Room
from realtime.publications import Publication, Recording, State, recording
from realtime.testing import committing
from realtime.topics import Event, Topic
from realtime.topics.registry import registry


class Noted(Event):
    """An event."""


@pytest.fixture(params=[timedelta(days=1), None], ids=["kept", "loose"])
def topic(request: pytest.FixtureRequest) -> Iterator[Topic]:
    with registry.isolated():

        class Notes(Topic):
            path = "recorded"
            events = [Noted]
            keep = request.param

        yield Notes()


@pytest.fixture
def found() -> Iterator[Recording]:
    recorded = Recording()
    with recording(recorded):
        yield recorded


def states(found: Recording) -> list[State]:
    return [one.state for one in found.publications]


@pytest.mark.django_db(transaction=True)
def test_each_call_has_the_state_of_its_transaction(topic: Topic, found: Recording) -> None:
    topic.publish(Noted())
    with transaction.atomic():
        topic.publish_many([Noted(), Noted()])
        with transaction.atomic():
            topic.publish(Noted())
            transaction.set_rollback(True)
        assert states(found) == [State.COMMITTED, State.OPEN, State.ROLLED_BACK]
    with transaction.atomic():
        topic.publish(Noted())
        transaction.set_rollback(True)
    assert states(found) == [State.COMMITTED, State.COMMITTED, *[State.ROLLED_BACK] * 2]
    assert [(one.place, one.name, one.events) for one in found.publications[:2]] == [
        ("topic", "recorded", ["noted"]),
        ("topic", "recorded", ["noted", "noted"]),
    ]


@pytest.mark.django_db(transaction=True)
def test_a_message_is_recorded(found: Recording) -> None:
    Room.objects.create(slug="general")
    with transaction.atomic():
        push.room("general").message("hi")
    [one] = found.publications
    assert (one.place, one.name, one.events, one.state) == (
        "room",
        "general",
        ["message"],
        State.COMMITTED,
    )


@pytest.mark.django_db(databases=["default"])
def test_the_transaction_of_a_test_case_stays_open(topic: Topic, found: Recording) -> None:
    topic.publish(Noted())
    assert states(found) == [State.OPEN]
    with committing():
        topic.publish(Noted())
    assert states(found) == [State.OPEN, State.COMMITTED]


@pytest.mark.django_db(transaction=True)
def test_what_is_refused_is_not_recorded(topic: Topic, found: Recording) -> None:
    with pytest.raises(TypeError):
        topic.publish(Noted)  # type: ignore[arg-type]
    assert found.publications == []


@pytest.mark.django_db(transaction=True)
def test_nothing_is_recorded_outside_of_a_block(topic: Topic) -> None:
    before = Recording()
    with recording(before):
        pass
    topic.publish(Noted())
    assert before.publications == []


def test_a_publication_that_waits_for_nothing_is_committed() -> None:
    assert Publication("room", "general", ["message"]).state is State.COMMITTED
