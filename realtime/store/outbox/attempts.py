"""Make several attempts of which none depends on the success of another."""

from collections.abc import Callable, Iterable

__all__ = ["attempt_each"]


def attempt_each(attempts: Iterable[Callable[[], int]]) -> int:
    """Make all attempts, and return the sum of their results; then raise the last failure."""
    total, failed = 0, None
    for attempt in attempts:
        try:
            total += attempt()
        except Exception as error:
            failed = error
    if failed is not None:
        raise failed
    return total
