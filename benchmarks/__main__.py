"""Measure this package and its peers side by side.

Every server is started here, on 127.0.0.1 and free ports; nothing else on the machine is used.
"""

import argparse
import json
import sys
from pathlib import Path

from .cases import CASES
from .contenders import CONTENDERS
from .machine import describe
from .report import as_json, table
from .runner import Settings, ground, measure


def main() -> int:
    """Run the cases of the command line; 1 if we lost, doubled or reordered, or did not end."""
    options = _options()
    settings = Settings(
        rounds=1 if options.quick else options.rounds,
        seconds=2 if options.quick else options.seconds,
        warm_up=1 if options.quick else 2,
        quick=options.quick,
        only=options.only,
        servers=(options.server,) if options.server else ("daphne", "uvicorn"),
        peers=None if options.peers is None else tuple(options.peers),
    )
    done = []
    about = describe(sys.argv)
    with ground() as place:
        for name in options.cases or CASES:
            done.append(measure(CASES[name], place, settings, _progress))
            print(table(done[-1]), flush=True)
            if options.json:
                options.json.write_text(json.dumps(as_json(done, about), indent=1) + "\n")
    return int(any(results.has_failed for results in done))


def _options() -> argparse.Namespace:
    peers = sorted({contender.peer for contender in CONTENDERS.values()} - {""})
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--server", choices=["daphne", "uvicorn"], help="only on this one")
    parser.add_argument("--peers", nargs="*", choices=peers, help="only against these")
    parser.add_argument("--only", default="", metavar="TEXT", help="only entries named like this")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="how long each is measured")
    parser.add_argument("--quick", action="store_true", help="one short round of small cases")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    return options


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
