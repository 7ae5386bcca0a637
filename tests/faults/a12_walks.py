"""A12: whatever clients, administrators and other processes do, in any order, as a model has it."""

import asyncio
import json
import logging
import random
from collections import Counter

from harness.site import run
from tests.faults.fault import Figures, Ground, fault

logger = logging.getLogger(__name__)
WALK = "import django; django.setup(); from tests.faults._walk import main; main({}, {})"
SECONDS = 300


@fault(
    "A12",
    "10,000 steps (in CI 500 on SQLite) of random walks against a model, with drops, resumes,"
    " kicks, pruning and unreliable notes",
    must={"promises broken": 0, "steps missing": 0},
)
async def walks(ground: Ground) -> Figures:
    """Rows, acknowledgements and screens agree after each step, and nothing is left in the end."""
    steps, number = ground.size((500, 1), (1250, 4))
    counts: Counter[str] = Counter()
    databases = ground.size(["sqlite"], ["sqlite", "postgres"])
    for database in databases:
        for _ in range(number):
            counts += await _walk(ground, database, steps)
    missing = max(0, steps * number * len(databases) - counts["steps"])
    return {"promises broken": counts.pop("promises broken", 0), "steps missing": missing, **counts}


async def _walk(ground: Ground, database: str, steps: int) -> Counter[str]:
    site = ground.make_site(database=database, layer="memory", servers=())
    command = WALK.format(steps, random.SystemRandom().randrange(2**32))
    told = await asyncio.to_thread(run, "-W", "error", "-c", command, env=site.env, seconds=SECONDS)
    *story, counted = told.splitlines()
    if story:
        logger.error("%s, %s:\n%s", database, command, "\n".join(story))
    return Counter(json.loads(counted))
