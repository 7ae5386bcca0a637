"""Run the scenarios against a driver: `python -m realtime.conformance --driver ./mine`.

The exit status is 0 if all scenarios passed that the driver can do, 1 if one did not, and 2 for
wrong arguments.
"""

import argparse
import asyncio
import shlex
import sys
from collections.abc import Sequence

from .runner import run_all
from .scenario import Scenario, groups, load

__all__ = ["main"]

PASSED, FAILED = 0, 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m realtime.conformance",
        description=(__doc__ or "").partition(":")[0],
    )
    add = parser.add_argument
    add("--driver", required=True, metavar="COMMAND", help="the command that starts the driver")
    add("--group", action="append", choices=groups(), help="run this group only; may be repeated")
    add("--scenario", metavar="NAME", help="run the scenarios of this name only")
    add("--seconds", type=float, default=10.0, help="the longest time of one step")
    options = parser.parse_args(arguments)
    chosen = [one for one in load() if _is_chosen(one, options)]
    if not chosen:
        parser.error("there is no such scenario")
    try:
        return asyncio.run(_run(chosen, shlex.split(options.driver), options.seconds))
    except FileNotFoundError as error:
        parser.error(f"the driver cannot be started: {error}")
    except KeyboardInterrupt:
        return 130


def _is_chosen(one: Scenario, options: argparse.Namespace) -> bool:
    is_group = not options.group or one.group in options.group
    return is_group and options.scenario in (None, one.name)


async def _run(scenarios: Sequence[Scenario], driver: Sequence[str], seconds: float) -> int:
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    async for result in run_all(scenarios, driver, seconds):
        kind = "failed" if result.fault else "skipped" if result.skipped else "passed"
        counts[kind] += 1
        why = result.fault or (result.skipped and f"the driver lacks {result.skipped}")
        name = f"{result.scenario.group}/{result.scenario.name}"
        _say(f"{kind:7} {name}{f': {why}' if why else ''}")
    _say(", ".join(f"{number} {kind}" for kind, number in counts.items()))
    return FAILED if counts["failed"] else PASSED


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
