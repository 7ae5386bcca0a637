"""The last release: its code, and the tables that it knows."""

import asyncio
import subprocess
from pathlib import Path

from harness.services import missing
from harness.site import ROOT, Site

COMMIT = "2ca3254"
"""The last commit before the tables of topics."""
MIGRATION = "0005"


def release(folder: Path) -> Path:
    """Return a copy of the last release."""
    root = folder / f"release-{COMMIT}"
    if not root.exists():
        packed = subprocess.run(
            ["git", "-C", str(ROOT), "archive", COMMIT], capture_output=True, check=False
        )
        if packed.returncode:
            missing("release", f"no commit {COMMIT} in a repository here")
        root.mkdir()
        subprocess.run(["tar", "-x", "-C", str(root)], input=packed.stdout, check=True)
    return root


async def migrate_to(site: Site, *migration: str) -> None:
    """Take the tables back to a migration, or up to the newest one."""
    await asyncio.to_thread(site.run, "manage.py", "migrate", "-v", "0", "realtime", *migration)
