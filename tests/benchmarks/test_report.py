"""What is said of results: in a terminal, as JSON, and on the page with its charts."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.cases import CASES, Case, Entry, Target
from benchmarks.report import (
    Run,
    as_json,
    draw,
    judged,
    markdown,
    newest,
    read,
    summary,
    table,
)
from benchmarks.runner import Results

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs/benchmarks.md"
MACHINE = {
    "day": "2026-11-21",
    "command": "python -m benchmarks",
    "machine": "2 cores of something, 8 GiB, Linux",
    "versions": {"Django": "5.2.19", "Redis": "Redis server v=7.0.15 sha=00000000:0 bits=64"},
}


def made_up() -> Results:
    """Two who were measured and one who was not, with targets of all kinds."""
    case = Case(
        "one",
        "Some title",
        "What is compared.",
        "fanout",
        {},
        [
            Entry("daphne", "json", "ours"),
            Entry("ws", "plain", "ws"),
            Entry("nchan", "plain", "nchan"),
        ],
        ["deliveries_per_second", "p99_ms"],
        [
            Target("enough", 2, lambda figures: figures["ours"]["p99_ms"] / 1),
            Target("too much", 2, lambda figures: figures["ours"]["p99_ms"], is_at_most=True),
            Target("not here", 1, lambda figures: figures["nchan"]["p99_ms"]),
            Target("of nobody", 1, lambda figures: max(one["x"] for one in {}.values())),
            Target("of nothing", 1, lambda figures: figures["ours"]["p99_ms"] / 0),
        ],
    )
    ours = [{"deliveries_per_second": n * 1000.0, "p99_ms": 3.0} for n in (9, 10, 12)]
    ws = [{"deliveries_per_second": 5000.0, "lost": 2.0, "faults": n} for n in (0.0, 1.0)]
    return Results(case, {"ours": ours, "ws": ws}, {"nchan": "there is no nginx here"})


def results(name: str, value: float = 1.0, labels: int = 99, **more: float) -> Results:
    """Figures for the first entries of a real case, larger from one to the next."""
    case = CASES[name]
    return Results(
        case,
        {
            entry.label: [dict.fromkeys(case.columns, value + place) | more]
            for place, entry in enumerate(case.entries[:labels])
        },
    )


def a_run(*found: Results, **about: Any) -> Run:
    return Run({**MACHINE, **about}, {one.case.name: one for one in found})


def section(page: str, name: str) -> str:
    """What the page says of a case."""
    return page.split(f"\n## {name}\n")[1].split("\n## ")[0]


def test_the_table_has_medians_and_the_spread_of_the_first_column() -> None:
    """Under the title, a line an entry; what somebody has no figure for stays empty."""
    _, title, head, ours, ws, *_ = table(made_up()).split("\n")
    assert title == "one: Some title"
    assert re.split(r"  +", head.strip()) == ["deliveries/s", "p99 ms", "spread"]
    assert re.split(r"  +", ours) == ["ours", "10,000", "3.00", "-10% +20%"]
    assert re.split(r"  +", ws)[:2] == ["ws", "5,000"]


def test_the_table_tells_what_went_wrong_and_who_was_skipped() -> None:
    """In all rounds together."""
    lines = table(made_up()).split("\n")
    assert lines[4].endswith("  lost: 4  faults: 1")
    assert "nchan: skipped, there is no nginx here" in lines


def test_the_table_tells_which_targets_are_met() -> None:
    """Those that could not be measured are not there."""
    assert table(made_up()).split("\n")[-2:] == [
        "ok   enough: 3.00 (≥ 2)",
        "MISS too much: 3.00 (≤ 2)",
    ]


def test_a_target_is_judged_if_it_was_measured() -> None:
    """Not by somebody who was skipped, by nobody at all, or by dividing by nothing."""
    assert judged(made_up()) == [("enough", "≥ 2", 3.0, True), ("too much", "≤ 2", 3.0, False)]


def test_json_holds_every_round() -> None:
    """And what was judged, and what is known of the machine."""
    told = json.loads(json.dumps(as_json([made_up()], {"day": "2026-11-21"})))
    assert told["day"] == "2026-11-21"
    one = told["cases"]["one"]
    assert [figures["deliveries_per_second"] for figures in one["rounds"]["ours"]] == [
        9e3,
        1e4,
        12e3,
    ]
    assert one["skipped"] == {"nchan": "there is no nginx here"}
    assert one["targets"][1] == {
        "text": "too much",
        "needed": "≤ 2",
        "measured": 3.0,
        "is_met": False,
    }


def test_json_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The page can be made long after the measuring."""
    done = results("latency")
    done.skipped["somebody"] = "a reason"
    file = tmp_path / "results.json"
    file.write_text(json.dumps(as_json([done], MACHINE)))
    run = read(file)
    assert run.about == MACHINE
    assert run.results == {"latency": done}


def test_a_case_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """It was renamed, perhaps; nobody should think that it is on the page."""
    file = tmp_path / "results.json"
    file.write_text(json.dumps(as_json([made_up()], MACHINE)))
    with pytest.raises(KeyError, match="one"):
        read(file)


def test_the_last_run_that_has_a_case_tells_of_it() -> None:
    """In the order of cases, not of runs."""
    first, second = a_run(results("slow"), results("idle")), a_run(results("slow"))
    assert list(newest([first, second]).items()) == [("idle", first), ("slow", second)]


def test_the_page_tells_how_to_repeat_it() -> None:
    """Command, machine, and versions as numbers."""
    page = markdown([a_run(results("slow"))])
    assert "python -m benchmarks --json results.json" in page
    assert "only ratios carry over" in page
    assert (
        "| 1 | 2026-11-21 | `python -m benchmarks` | 2 cores of something, 8 GiB, Linux |" in page
    )
    assert "| Django | 5.2.19 |\n| Redis | 7.0.15 |" in page


@pytest.mark.parametrize("option", ["--json /home/ada/x.json", "--json=/home/ada/x.json"])
def test_the_page_names_no_local_path(option: str) -> None:
    """Where the figures were written to is nobody's business."""
    page = markdown(
        [a_run(results("slow"), command=f"python -m benchmarks slow {option} --rounds 5")]
    )
    assert "| `python -m benchmarks slow --rounds 5` |" in page


def test_the_page_names_every_run() -> None:
    """Each with its own day, machine and versions, and each case with its run."""
    first = a_run(results("slow"), results("idle"), day="2026-11-20", machine="a small one")
    page = markdown([first, a_run(results("slow")), a_run(results("idle"), machine="a large one")])
    assert "| 1 | 2026-11-20 | `python -m benchmarks` | a small one |" in page
    assert "| 3 | 2026-11-21 | `python -m benchmarks` | a large one |" in page
    assert "| run | 1 | 2 | 3 |\n| --- | --- | --- | --- |\n| Django | 5.2.19 |" in page
    assert section(page, "idle").startswith("\nRun 3.\n")
    assert section(page, "slow").startswith("\nRun 2.\n")


def test_a_quick_run_is_called_one() -> None:
    """Its figures mean nothing, and its sizes are not those of the title."""
    quick = a_run(results("slow"), command="python -m benchmarks slow --quick")
    assert "`--quick`" in section(markdown([quick]), "slow")
    assert "`--quick`" not in section(markdown([a_run(results("slow"))]), "slow")


def test_a_section_has_its_title_and_what_it_compares() -> None:
    """For every case there is."""
    page = markdown([a_run(*(results(name) for name in CASES))])
    for name, case in CASES.items():
        assert summary(case) in section(page, name)


def test_every_case_is_explained() -> None:
    """In one to three sentences."""
    for case in CASES.values():
        assert 1 <= len(re.findall(r"\.(?= |$)", case.about)) <= 3


def test_a_section_has_a_row_for_each_who_was_measured() -> None:
    """With the spread next to the figure that it belongs to."""
    done = results("slow", 2.0)
    done.rounds["all read"].append(dict.fromkeys(CASES["slow"].columns, 4.0))
    page = section(markdown([a_run(done)]), "slow")
    assert "|  | p50 ms | spread | p99 ms | CPU µs/delivery |" in page
    assert "| all read | 3.00 | -33% +33% | 3.00 | 3.00 |" in page
    assert "| 10 have stalled | 3.00 |  | 3.00 | 3.00 |" in page


@pytest.mark.parametrize(
    ("p99", "row"),
    [
        (1.0, "| ≤ 1.3 | 1.00 | yes |"),
        (1.3004, "| ≤ 1.3 | 1.3004 | **no** |"),
        (None, "| ≤ 1.3 | not measured |  |"),
    ],
)
def test_a_section_judges_its_targets(p99: float | None, row: str) -> None:
    """What was needed, what came out, and whether that is enough; a miss never looks like a hit."""
    rounds = {"all read": [{"p50_ms": 1.0, "p99_ms": 1.0}]}
    if p99 is not None:
        rounds["10 have stalled"] = [{"p50_ms": 1.0, "p99_ms": p99}]
    page = section(markdown([a_run(Results(CASES["slow"], rounds))]), "slow")
    assert f"| {CASES['slow'].targets[0].text} {row}" in page


def test_a_section_tells_why_a_target_is_missed() -> None:
    """Only if it is, one sentence a line."""
    why = next(target.why_missed for target in CASES["idle"].targets if target.why_missed)
    first, second = why.removesuffix(".").split(". ")
    page = section(markdown([a_run(results("idle", 3.0))]), "idle")
    assert f"\nMissed: CPU, percent of a core.\n{first}.\n{second}.\n" in page
    assert "Missed" not in section(markdown([a_run(results("idle", 1.0))]), "idle")


def test_a_section_tells_who_was_left_out() -> None:
    """Why, if they could not be measured, and that nobody asked for them, if so."""
    done = results("latency", labels=2)
    done.skipped["Channels chat, core layer, Daphne"] = "there is no Redis"
    page = section(markdown([a_run(done)]), "latency")
    assert "Channels chat, core layer, Daphne: skipped, there is no Redis." in page
    assert "Not asked for by the command: Channels chat, pubsub layer, Daphne." in page


def test_a_section_tells_what_was_lost() -> None:
    """By whom and how much; nothing if nothing was."""
    assert "lost" not in section(markdown([a_run(results("slow", lost=0, faults=0))]), "slow")
    page = section(markdown([a_run(results("slow", lost=1200, faults=3))]), "slow")
    assert "**all read**, in all rounds together: lost: 1,200, faults: 3." in page


def test_a_case_that_could_not_be_measured_at_all_is_still_there(tmp_path: Path) -> None:
    """Without a table and without a chart."""
    nobody = Results(CASES["latency"], {}, {"realtime, Daphne": "there is no Daphne"})
    page = section(markdown([a_run(nobody)]), "latency")
    assert "there is no Daphne" in page
    assert "![" not in page
    assert "p50 ms" not in page


def test_every_chart_of_the_page_is_drawn(tmp_path: Path) -> None:
    """One for each case that has one; small, with text that can be searched for."""
    pytest.importorskip("matplotlib")
    runs = [a_run(*(results(name, 1000.0) for name in CASES))]
    draw(runs, tmp_path / "images")
    shown = re.findall(r"!\[[^]]+\]\((images/[^)]+)\)", markdown(runs))
    drawn = sorted(tmp_path.glob("images/*"))
    assert sorted(shown) == [str(file.relative_to(tmp_path)) for file in drawn]
    assert len(drawn) == sum(bool(case.chart) for case in CASES.values())
    assert all(file.stat().st_size < 40_000 for file in drawn)
    picture = (tmp_path / "images/bench-latency.svg").read_text()
    assert "p99 ms, less is better" in picture
    assert all(entry.label in picture for entry in CASES["latency"].entries)


@pytest.mark.parametrize(("name", "best"), [("persist", 3), ("latency", 0)])
def test_the_best_bar_is_on_top(tmp_path: Path, name: str, best: int) -> None:
    """The largest rate, or the smallest latency."""
    pytest.importorskip("matplotlib")
    draw([a_run(results(name))], tmp_path)
    picture = (tmp_path / f"bench-{name}.svg").read_text()
    order = sorted(
        (entry.label for entry in CASES[name].entries),
        key=lambda label: picture.index(f">{label}<"),
    )
    assert order[0] == CASES[name].entries[best].label


def test_ours_are_drawn_in_a_colour_of_their_own(tmp_path: Path) -> None:
    """Two bars of it, and two in grey."""
    charts = pytest.importorskip("benchmarks.charts", exc_type=ImportError)
    draw([a_run(results("latency"))], tmp_path)
    picture = (tmp_path / "bench-latency.svg").read_text()
    assert picture.count(f"fill: {charts.OURS}") == picture.count(f"fill: {charts.OTHERS}") == 2


def test_a_case_that_grows_is_drawn_as_lines(tmp_path: Path) -> None:
    """One a dialect, named, over the sizes."""
    pytest.importorskip("matplotlib")
    draw([a_run(results("members"))], tmp_path)
    picture = (tmp_path / "bench-members.svg").read_text()
    said = re.findall(r">([^<>\n]+)</text>", picture)
    assert {"json", "ndjson", "members", "CPU µs/delivery", "10", "3,000"} <= set(said)


def test_the_same_figures_give_the_same_chart(tmp_path: Path) -> None:
    """No time and no random names in it, so it only changes when the figures do."""
    pytest.importorskip("matplotlib")
    for folder in ("a", "b"):
        draw([a_run(results("members"))], tmp_path / folder)
    name = "bench-members.svg"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_command_writes_page_and_charts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From files of figures."""
    pytest.importorskip("matplotlib")
    file = tmp_path / "results.json"
    file.write_text(json.dumps(as_json([results("slow"), results("latency")], MACHINE)))
    monkeypatch.setattr(sys, "argv", ["report", str(file), "--docs", str(tmp_path)])
    report.main()
    assert (tmp_path / "benchmarks.md").read_text() == markdown([read(file)])
    assert (tmp_path / "images/bench-latency.svg").exists()


def test_measuring_needs_no_matplotlib() -> None:
    """It is only imported where charts are drawn."""
    code = "import sys, benchmarks.__main__; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.fixture
def page() -> str:
    if not PAGE.exists():
        pytest.skip("docs/benchmarks.md is not written yet")
    return PAGE.read_text()


def test_the_document_has_every_case(page: str) -> None:
    """What is promised is shown."""
    assert [name for name in CASES if f"\n## {name}\n" not in page] == []


def test_every_picture_of_the_document_exists(page: str) -> None:
    """The charts are kept with it."""
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", page)
    assert [one for one in shown if not (PAGE.parent / one).exists()] == []
