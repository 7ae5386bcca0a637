"""Make `realtime/wire/confusables.txt` from a copy of Unicode's confusables.txt.

    python .ci/confusables.py path/to/confusables.txt

The source is https://www.unicode.org/Public/security/latest/confusables.txt. Each line of the
result is a prototype, a tab, and all single characters that look like it.
"""

import sys
import unicodedata
from pathlib import Path

TARGET = Path(__file__).parent.parent / "realtime" / "wire" / "confusables.txt"
NOTICE = """\
# Made by .ci/confusables.py from confusables.txt of Unicode {version} (UTS #39).
# Copyright Unicode, Inc. Terms of use: https://www.unicode.org/copyright.html
"""


def pairs(lines: list[str]) -> list[tuple[str, str]]:
    """Each character with its prototype, without those that NFKD makes equal anyway."""
    found = []
    for line in lines:
        cells = line.partition("#")[0].split(";")
        if len(cells) < 3:
            continue
        source, target = (
            "".join(chr(int(code, 16)) for code in cell.split()) for cell in cells[:2]
        )
        same = unicodedata.normalize("NFKD", source) == unicodedata.normalize("NFKD", target)
        if len(source) == 1 and "\t" not in target and not same:
            found.append((source, target))
    return found


def main(path: str) -> None:
    """Write the table."""
    lines = Path(path).read_text("utf-8-sig").split("\n")
    version = next(line.split()[-1] for line in lines if line.startswith("# Version:"))
    looks: dict[str, str] = {}
    for source, target in pairs(lines):
        looks[target] = looks.get(target, "") + source
    rows = [f"{target}\t{sources}\n" for target, sources in sorted(looks.items())]
    TARGET.write_text(NOTICE.format(version=version) + "".join(rows), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
