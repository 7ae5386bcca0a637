"""What CI makes of pip-audit's answer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HOLES = Path(__file__).parent.parent / ".ci" / "holes.py"
HOLE = {"id": "CVE-1", "fix_versions": ["1.1"]}
SKIPPED = {"name": "b", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        ("", 0, "nothing was looked up"),
        ('{"dependencies": [', 0, "nothing was looked up"),
        (json.dumps({"dependencies": [SKIPPED]}), 0, "nothing was looked up"),
        (
            json.dumps({"dependencies": [SKIPPED, {"name": "a", "version": "1.0", "vulns": []}]}),
            0,
            "1 of 2 packages looked up, 0 holes",
        ),
        (
            json.dumps({"dependencies": [{"name": "a", "version": "1.0", "vulns": [HOLE]}]}),
            1,
            "a 1.0: CVE-1, mended in 1.1",
        ),
    ],
    ids=["offline", "cut off", "unknown", "clean", "hole"],
)
def test_only_a_hole_fails(answer: str, code: int, told: str) -> None:
    """A network that is away is said, and no failure."""
    done = subprocess.run([sys.executable, HOLES], input=answer, capture_output=True, text=True)
    assert done.returncode == code
    assert told in done.stdout
