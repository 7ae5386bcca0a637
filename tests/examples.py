"""How many examples a test of hypothesis tries: all in CI, few with the profile "short"."""

from hypothesis import settings

__all__ = ["examples"]

USUAL = 100


def examples(number: int) -> int:
    """Return so many, or the same share of them that the profile takes of its usual number."""
    return max(1, number * settings().max_examples // USUAL)
