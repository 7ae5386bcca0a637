"""Measure what counting costs: `python -m benchmarks.counting`.

A server and its clients, with counting and without it in turn. Such runs vary by more than
counting costs; `python -m benchmarks.uncounted.lanes` measures it more exactly.
"""

import argparse
import sys

from .cases.case import COST, RATE, Case, Entry, Target, ratio
from .report import table
from .runner import Settings, ground, measure

COUNTED, UNCOUNTED = "counted", "not counted"
CASE = Case(
    "counting",
    "One room of 200, with counting and without it",
    "As `fanout`, on Daphne; the second server is the same with counters that do nothing.",
    "fanout",
    {"members": 200, "outstanding": 64},
    [Entry("daphne", "json", COUNTED), Entry("daphne-uncounted", "json", UNCOUNTED)],
    [RATE, COST],
    [Target("deliveries with counting to those without", 0.97, ratio(COUNTED, UNCOUNTED, RATE))],
)


def main() -> int:
    """Run with the options of the command line; 1 if something was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.counting", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="how long each is measured")
    options = parser.parse_args()
    settings = Settings(rounds=options.rounds, seconds=options.seconds, warm_up=1)
    with ground() as place:
        results = measure(CASE, place, settings, lambda line: print(line, file=sys.stderr))
    print(table(results))
    return int(results.has_failed)


if __name__ == "__main__":
    sys.exit(main())
