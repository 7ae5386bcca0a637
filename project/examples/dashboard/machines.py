"""Made-up machines, whose metrics change by small random steps."""

import random
from collections.abc import Iterator

__all__ = ["METRICS", "Machines"]

METRICS = ("cpu", "memory", "disk", "network", "queue")


class Machines:
    """Measures one random metric of one random machine after the other."""

    def __init__(self, number: int, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311
        names = (f"web-{one:02}" for one in range(1, number + 1))
        keys = [f"{name}/{metric}" for name in names for metric in METRICS]
        self.values = {key: self._random.uniform(10, 60) for key in keys}

    def measured(self, number: int) -> Iterator[tuple[str, float]]:
        """Yield so many measurements: the key of a metric, and its value in percent."""
        keys = list(self.values)
        for key in self._random.choices(keys, k=number):
            step = self._random.gauss((45 - self.values[key]) / 100, 3)
            self.values[key] = min(100.0, max(0.0, self.values[key] + step))
            yield key, round(self.values[key], 1)
