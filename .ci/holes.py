"""Say what pip-audit's JSON on standard input has found; 1 for holes, 0 where it could not look."""

import json
import sys


def main() -> int:
    try:
        packages = json.load(sys.stdin)["dependencies"]
    except ValueError:
        packages = []
    looked_at = [one for one in packages if "skip_reason" not in one]
    if not looked_at:
        print("pip-audit: its database cannot be reached, nothing was looked up")
        return 0
    holes = [(one, hole) for one in looked_at for hole in one["vulns"]]
    print(f"pip-audit: {len(looked_at)} of {len(packages)} packages looked up, {len(holes)} holes")
    for one, hole in holes:
        mended = ", ".join(hole["fix_versions"]) or "none"
        print(f"{one['name']} {one['version']}: {hole['id']}, mended in {mended}")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
