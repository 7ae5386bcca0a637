"""Run one scenario: `python -m benchmarks.load SCENARIO OPTIONS`, where the options are JSON.

Marks go out a line each, and the last line is the figures as JSON; the runner answers each mark.
"""

import gc
import json
import sys

import uvloop

from .scenarios import SCENARIOS


def main() -> None:
    """Run what the command line says."""
    gc.disable()  # it lives for seconds, and must not stop while it measures
    name, options = sys.argv[1], json.loads(sys.argv[2])
    print(json.dumps(uvloop.run(SCENARIOS[name](options))))


if __name__ == "__main__":
    main()
