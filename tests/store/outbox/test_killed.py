"""kill -9 of publishers: each committed event is stored once, and none of the others."""

import os
import subprocess
import sys

from realtime.models import Pending
from realtime.store.outbox import pending

from .publishing import is_without_holes, stored
from .test_pending import age

PUBLISHERS = 60


def test_a_publisher_that_is_killed_after_its_commit_loses_nothing(
    url: str, is_postgres: bool
) -> None:
    environment = os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "project.settings"}
    command = [sys.executable, "-m", "tests.store.outbox.killed", str(PUBLISHERS)]
    subprocess.run(command, env=environment, check=True, timeout=300)
    committed = [number for number in range(PUBLISHERS) if number % 4 != 3]
    assert Pending.objects.count() == (2 * len(committed) if is_postgres else 0)
    age()
    pending.sweep()
    for topic in range(3):
        mine = [number for number in committed if number % 3 == topic]
        expected = [[number, which] for number in mine for which in "ab"]
        assert [what for _, what in stored(f"t{topic}")] == expected
        assert is_without_holes(f"t{topic}")
    assert not Pending.objects.exists()
