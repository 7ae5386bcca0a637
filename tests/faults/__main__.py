"""`python -m tests.faults [F1 …] [--full]`: break things, print what came of it, write it down.

`python -m tests.faults soak --minutes 60 [--seed 7]` breaks everything at random for so long.
"""

import argparse
import asyncio
import logging
import math
import sys
import time
import traceback
from contextlib import ExitStack
from functools import partial

from harness.services import Services
from harness.site import Sites
from tests.faults.fault import Fault, Ground, Outcome, all_faults
from tests.faults.report import section, write
from tests.faults.soak import lasting


def main() -> int:
    """Run the faults that are named, or all; 1 if a promise did not hold."""
    faults = all_faults()
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="FAULT", help=", ".join(faults))
    parser.add_argument("--full", action="store_true", help="the numbers of docs/reliability.md")
    parser.add_argument("--minutes", type=float, help="how long the soak lasts")
    parser.add_argument("--seed", type=int, help="what the soak does, and when")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in faults]:
        parser.error(f"no such fault: {', '.join(unknown)}")
    if options.minutes:
        if options.names != ["soak"]:
            parser.error("only the soak takes --minutes")
        faults["soak"] = lasting(options.minutes, options.seed)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("tests.faults").setLevel(logging.INFO)
    is_full = bool(options.full or options.minutes)
    outcomes = _run_all([faults[name] for name in options.names or faults], is_full)
    if options.full:
        write(outcomes)
    return 1 if any(outcome.broken for outcome in outcomes) else 0


def _run_all(faults: list[Fault], is_full: bool) -> list[Outcome]:
    services = Services()
    outcomes = []
    try:
        for fault in faults:
            outcomes.append(_run(fault, services, is_full))
            print(section(outcomes[-1]), flush=True)
    finally:
        services.stop()
    return outcomes


def _run(fault: Fault, services: Services, is_full: bool) -> Outcome:
    """What came of it; of one that could not be done nothing is counted."""
    print(f"{fault.name}: {fault.title} …", file=sys.stderr, flush=True)
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            ground = Ground(partial(Sites(services).make, stack), services, is_full)
            return asyncio.run(fault.outcome(ground))
    except Exception:
        traceback.print_exc()
        return Outcome(fault, dict.fromkeys(fault.must, math.nan))
    finally:
        print(f"{fault.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
