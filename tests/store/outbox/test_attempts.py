"""Things of which none waits for the success of another."""

from collections.abc import Callable

import pytest

from realtime.store.outbox.attempts import attempt_each

made: list[int] = []


def attempt(number: int, error: Exception | None = None) -> Callable[[], int]:
    def make() -> int:
        made.append(number)
        if error is not None:
            raise error
        return number

    return make


@pytest.fixture(autouse=True)
def _nothing_made() -> None:
    made.clear()


def test_the_results_are_summed() -> None:
    assert attempt_each(attempt(number) for number in (1, 2, 3)) == 6
    assert attempt_each([]) == 0


def test_a_failure_stops_no_other_and_the_last_one_is_raised() -> None:
    with pytest.raises(ValueError, match="second"):
        attempt_each(
            [
                attempt(1, KeyError("first")),
                attempt(2),
                attempt(3, ValueError("second")),
                attempt(4),
            ]
        )
    assert made == [1, 2, 3, 4]


def test_what_is_no_failure_ends_all() -> None:
    """As an interrupt by the operator."""
    with pytest.raises(KeyboardInterrupt):
        attempt_each([attempt(1, KeyboardInterrupt()), attempt(2)])  # type: ignore[arg-type]
    assert made == [1]
