"""`python -m tests.faults [F1 …] [--full]`: break things, print what came of it, write it down."""

import argparse
import asyncio
import logging
import sys
import time
import traceback
from contextlib import ExitStack
from functools import partial

from tests.faults.fault import Fault, Ground, Outcome, all_faults
from tests.faults.report import row, write
from tests.services import Services
from tests.site import Sites


def main() -> int:
    """Run the faults that are named, or all; 1 if a promise did not hold."""
    faults = all_faults()
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="FAULT", help=", ".join(faults))
    parser.add_argument("--full", action="store_true", help="the numbers of docs/reliability.md")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in faults]:
        parser.error(f"no such fault: {', '.join(unknown)}")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("tests.faults").setLevel(logging.INFO)
    return _run_all([faults[name] for name in options.names or faults], options.full)


def _run_all(faults: list[Fault], is_full: bool) -> int:
    services = Services()
    outcomes = []
    try:
        for fault in faults:
            if outcome := _run(fault, services, is_full):
                outcomes.append(outcome)
                print(row(outcome), flush=True)
    finally:
        services.stop()
        if is_full:
            write(outcomes)
    has_failed = len(outcomes) < len(faults) or any(outcome.broken for outcome in outcomes)
    return 1 if has_failed else 0


def _run(fault: Fault, services: Services, is_full: bool) -> Outcome | None:
    """What came of it; None where it could not be done, which must not keep others from it."""
    print(f"{fault.name}: {fault.title} …", file=sys.stderr, flush=True)
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            ground = Ground(partial(Sites(services).make, stack), services, is_full)
            return asyncio.run(fault.outcome(ground))
    except Exception:
        traceback.print_exc()
        return None
    finally:
        print(f"{fault.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
