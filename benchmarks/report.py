"""What came out of cases: a table for the terminal, JSON for later, and a page from that JSON.

`python -m benchmarks.report RESULTS.json [RESULTS.json ...]` writes `docs/benchmarks.md` and its
charts; how those look is left to `charts.py`.
"""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from .cases import CASES, Case, Target
from .contenders import CONTENDERS
from .runner import Results

__all__ = ["Run", "as_json", "draw", "markdown", "newest", "read", "summary", "table"]

DOCS = Path(__file__).resolve().parent.parent / "docs"
INTRO = Path(__file__).parent / "text/intro.md"

UNITS = {
    "deliveries_per_second": "deliveries/s",
    "messages_per_second": "messages/s",
    "connects_per_second": "connects/s",
    "events_per_second": "published/s",
    "told_per_second": "delivered to all/s",
    "cpu_us_per_delivery": "CPU µs/delivery",
    "cpu_us_per_message": "CPU µs/message",
    "cpu_us_per_connect": "CPU µs/connect",
    "redis_us_per_message": "Redis CPU µs/message",
    "publishes_per_message": "publishes/message",
    "events_per_frame": "events/frame",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "paced_per_second": "fixed rate/s",
    "paced_p50_ms": "p50 ms at it",
    "paced_p99_ms": "p99 ms at it",
    "cut": "cut",
    "memory_mib": "peak MiB",
    "kib_per_connection": "KiB/connection",
    "kib_per_topic": "KiB/topic",
    "longest_ms": "longest ms",
    "page_seconds": "all values s",
    "pages": "pages",
    "subscribes_per_second": "subscribes/s",
    "cpu_percent": "CPU %",
    "bare_seconds": "bare connects s",
    "seconds": "all back s",
    "ratio": "ratio",
    "history_queries": "history queries",
}
QUICK = (
    "A `--quick` run, short and smaller than it says here: it shows that all works, not how fast."
)
JSON_OPTION = re.compile(r" --j[a-z]*[= ]\S+")
VERSION = re.compile(r"\d+(\.\w+)+")


def table(results: Results) -> str:
    """The medians of a case with the spread of its first figure, and its targets."""
    case, medians = results.case, results.medians
    lines = [f"\n{case.name}: {case.title}"]
    width = max([len(label) for label in medians] or [0])
    heads = [UNITS[name] for name in case.columns]
    lines.append(" " * width + "  " + "  ".join(f"{head:>15}" for head in [*heads, "spread"]))
    for label, figures in medians.items():
        cells = [number(figures.get(name)) for name in case.columns]
        cells.append(spread([one.get(case.columns[0]) for one in results.rounds[label]]))
        rest = "".join(f"  {one}" for one in faults(results.rounds[label]))
        lines.append(f"{label:{width}}  " + "  ".join(f"{cell:>15}" for cell in cells) + rest)
    lines += [f"{label}: skipped, {reason}" for label, reason in results.skipped.items()]
    lines += [f"{label}: failed, {reason}" for label, reason in results.failed.items()]
    for text, needed, value, is_met in judged(results):
        lines.append(f"{'ok  ' if is_met else 'MISS'} {text}: {value:.2f} ({needed})")
    return "\n".join(lines)


def judged(results: Results) -> list[tuple[str, str, float, bool]]:
    """Each target whose entries were measured: its text, what is asked, what came out."""
    found = []
    for target in results.case.targets:
        try:
            value = target.measured(results.sound)
        except (KeyError, ValueError, ZeroDivisionError):
            continue
        found.append((target.text, needed(target), value, target.is_met(value)))
    return found


def needed(target: Target) -> str:
    """What a target asks for."""
    return f"{'≤' if target.is_at_most else '≥'} {target.needed:g}"


def as_json(done: list[Results], about: dict[str, object]) -> dict[str, Any]:
    """All of it: every round of every entry."""
    return {
        **about,
        "cases": {
            results.case.name: {
                "rounds": results.rounds,
                "skipped": results.skipped,
                "failed": results.failed,
                "targets": [
                    {"text": text, "needed": needed, "measured": value, "is_met": is_met}
                    for text, needed, value, is_met in judged(results)
                ],
            }
            for results in done
        },
    }


def number(value: float | None) -> str:
    """A figure with three digits that matter."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: list[float | None]) -> str:
    """How far a figure lay from its median over the rounds."""
    known = [value for value in values if value is not None]
    if len(known) < 2 or not (middle := median(known)):
        return ""
    return f"-{(middle - min(known)) / middle:.0%} +{(max(known) - middle) / middle:.0%}"


def faults(rounds: list[dict[str, float]]) -> list[str]:
    """What was lost or wrong in any round."""
    found = {name: sum(one.get(name, 0) for one in rounds) for name in ("lost", "faults")}
    return [f"{name}: {value:,.0f}" for name, value in found.items() if value]


@dataclass(frozen=True, eq=False)
class Run:
    """A file of figures: where and how they were measured, and the results of each case."""

    about: dict[str, Any]
    results: dict[str, Results]

    @property
    def command(self) -> str:
        """What was called, but for where it wrote its figures to."""
        return JSON_OPTION.sub("", self.about["command"])

    @property
    def is_quick(self) -> bool:
        """Whether its figures say how fast anything is."""
        return "--quick" in self.command.split()


def read(file: Path) -> Run:
    """Read what `python -m benchmarks --json` wrote; KeyError for a case that there is not."""
    about = json.loads(file.read_text())
    cases = about.pop("cases")
    results = {
        name: Results(CASES[name], one["rounds"], one["skipped"], one.get("failed", {}))
        for name, one in cases.items()
    }
    return Run(about, results)


def newest(runs: Sequence[Run]) -> dict[str, Run]:
    """The last run that has a case, for each case that any has, in their usual order."""
    last = {name: run for run in runs for name in run.results}
    return {name: last[name] for name in CASES if name in last}


def markdown(runs: Sequence[Run]) -> str:
    """The page."""
    parts = [INTRO.read_text().strip(), _grid(list(_measured_on(runs)))]
    parts.append(_grid(list(_versions(runs))))
    for name, run in newest(runs).items():
        results = run.results[name]
        parts += [f"## {name}", f"Run {runs.index(run) + 1}."]
        if run.is_quick:
            parts.append(QUICK)
        parts += [summary(results.case), *_section(results)]
    return "\n\n".join(parts) + "\n"


def summary(case: Case) -> str:
    """Return what a case is about, one sentence a line."""
    return f"**{case.title}.**\n{_lines(case.about)}"


def draw(runs: Sequence[Run], folder: Path) -> None:
    """Write the charts."""
    for name, run in newest(runs).items():
        if _points(run.results[name]):
            _draw(run.results[name], folder / _chart_file(name))


def main() -> None:
    """Write what the files of the command line say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=main.__doc__)
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="RESULTS.json", help="later ones win"
    )
    parser.add_argument("--docs", type=Path, default=DOCS, metavar="FOLDER", help="where to")
    options = parser.parse_args()
    runs = [read(file) for file in options.files]
    draw(runs, options.docs / "images")
    (options.docs / "benchmarks.md").write_text(markdown(runs))


def _measured_on(runs: Sequence[Run]) -> Iterator[list[str]]:
    """A row for each run: when, how and where it was."""
    yield ["run", "day", "command", "machine"]
    for place, run in enumerate(runs, 1):
        yield [str(place), run.about["day"], f"`{run.command}`", run.about["machine"]]


def _versions(runs: Sequence[Run]) -> Iterator[list[str]]:
    """A row for each program, whose number may stand in a whole sentence, and a column a run."""
    known = [run.about["versions"] for run in runs]
    yield ["run", *(str(place) for place, _ in enumerate(runs, 1))]
    for name in dict.fromkeys(name for versions in known for name in versions):
        numbers = [VERSION.search(versions.get(name, "")) for versions in known]
        yield [name, *(found[0] if found else "?" for found in numbers)]


def _section(results: Results) -> Iterator[str]:
    case = results.case
    if _points(results):
        yield f"![{UNITS[case.chart]}](images/{_chart_file(case.name)})"
    if results.rounds:
        yield _grid([["", *_heads(case)], *(_row(results, label) for label in results.rounds)], 1)
    yield from _wrong(results)
    yield from _left_out(results)
    if case.targets:
        yield _grid([["target", "needed", "measured", "met"], *_targets(results)], 1)
    yield from _missed(results)


def _heads(case: Case) -> list[str]:
    first, *rest = (UNITS[name] for name in case.columns)
    return [first, "spread", *rest]


def _row(results: Results, label: str) -> list[str]:
    rounds = results.rounds[label]
    column = results.case.columns[0]
    first, *rest = (number(results.medians[label].get(name)) for name in results.case.columns)
    return [label, first, spread([one.get(column) for one in rounds]), *rest]


def _targets(results: Results) -> Iterator[list[str]]:
    met = {text: (value, is_met) for text, _, value, is_met in judged(results)}
    for target in results.case.targets:
        value, is_met = met.get(target.text, (None, False))
        if value is None:
            yield [target.text, needed(target), "not measured", ""]
        else:
            shown = _shown(value, target)
            yield [target.text, needed(target), shown, "yes" if is_met else "**no**"]


def _missed(results: Results) -> Iterator[str]:
    missed = {text for text, _, _, is_met in judged(results) if not is_met}
    whys: dict[str, list[str]] = {}
    for target in results.case.targets:
        if target.why_missed and target.text in missed:
            whys.setdefault(target.why_missed, []).append(target.text)
    for why, texts in whys.items():
        yield f"Missed: {'; '.join(texts)}.\n{_lines(why)}"


def _lines(text: str) -> str:
    """One sentence a line."""
    return text.replace(". ", ".\n")


def _shown(value: float, target: Target) -> str:
    """With as many digits as it takes to see on which side of the target it is."""
    is_met = target.is_met(value)
    digits = next((n for n in range(2, 9) if target.is_met(round(value, n)) is is_met), 9)
    return f"{value:,.{digits}f}"


def _wrong(results: Results) -> Iterator[str]:
    for label, rounds in results.rounds.items():
        if found := faults(rounds):
            yield f"**{label}**, in all rounds together: {', '.join(found)}."


def _left_out(results: Results) -> Iterator[str]:
    for label, reason in results.skipped.items():
        yield f"{label}: skipped, {reason}."
    for label, reason in results.failed.items():
        yield f"**{label}** failed: {reason}."
    labels = [one.label for one in results.case.entries]
    known = {*results.rounds, *results.skipped, *results.failed}
    if absent := [label for label in labels if label not in known]:
        yield f"Not asked for by the command: {'; '.join(absent)}."


def _grid(rows: Sequence[Sequence[str]], text_columns: int | None = None) -> str:
    """A table whose first row is its head; columns after the text columns are numbers."""
    width = len(rows[0])
    text = width if text_columns is None else text_columns
    rule = ["---"] * text + ["---:"] * (width - text)
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))


def _chart_file(name: str) -> str:
    return f"bench-{name}.svg"


def _points(results: Results) -> list[tuple[str, float, float]]:
    """The label, the chart's figure, and the place on the axis of all that have one."""
    case = results.case
    places = {entry.label: entry.x for entry in case.entries}
    return [
        (label, figures[case.chart], places.get(label) or 0)
        for label, figures in results.medians.items()
        if case.chart in figures and (not case.axis or places.get(label) is not None)
    ]


def _draw(results: Results, file: Path) -> None:
    from . import charts  # needs matplotlib, which measuring does not

    case = results.case
    ours = {entry.label for entry in case.entries if not CONTENDERS[entry.contender].peer}
    marks = [
        charts.Mark(_line(label) if case.axis else label, value, number(value), label in ours, x)
        for label, value, x in _points(results)
    ]
    if case.axis:
        charts.lines(marks, case.axis, UNITS[case.chart], file)
        return
    is_more_better = case.chart.endswith("_per_second")
    marks.sort(key=lambda mark: mark.value, reverse=is_more_better)
    better = "more" if is_more_better else "less"
    charts.bars(marks, f"{UNITS[case.chart]}, {better} is better", file)


def _line(label: str) -> str:
    """Which line of a chart an entry is on."""
    return next((name for name in ("ndjson", "json") if label.startswith(name)), "")


if __name__ == "__main__":
    main()
