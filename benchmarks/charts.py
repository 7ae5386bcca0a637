"""Small charts as SVG: bars that compare, and lines that grow; what they show is not decided here.

They bring their own light background, so they read the same on a white page and on a dark one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

__all__ = ["Mark", "bars", "lines"]

OURS, OTHERS, INK, FAINT, PAPER = "#0b5fb0", "#a3abb5", "#24292f", "#d0d7de", "#fafbfc"
DASHES = ["-", "--", ":"]
WIDTH, BAR, MARGIN, LINES_HEIGHT, PADDING = 7.6, 0.27, 0.55, 2.9, 0.1
"""Inches."""
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "realtime",  # the same figures give the same file
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
}


@dataclass(frozen=True)
class Mark:
    """A bar, or a point of the line `name`: its value, and the text that tells it."""

    name: str
    value: float
    text: str
    is_ours: bool = True
    x: float = 0


def bars(marks: Sequence[Mark], unit: str, file: Path) -> None:
    """Draw bars from the top down."""
    with rc_context(STYLE):
        figure, axes = _paper(MARGIN + BAR * len(marks))
        drawn = axes.barh(
            range(len(marks)),
            [mark.value for mark in marks],
            height=0.72,
            color=[OURS if mark.is_ours else OTHERS for mark in marks],
            tick_label=[mark.name for mark in marks],
        )
        axes.bar_label(drawn, [mark.text for mark in marks], padding=4)
        axes.invert_yaxis()
        axes.margins(x=0.12, y=0.02)
        axes.set_xlabel(unit)
        axes.xaxis.set_major_locator(NullLocator())
        axes.tick_params(length=0)
        axes.spines["bottom"].set_visible(False)
        _save(figure, file)


def lines(marks: Sequence[Mark], axis: str, unit: str, file: Path) -> None:
    """Draw a line for each name, over a logarithmic axis and up from nothing."""
    with rc_context(STYLE):
        figure, axes = _paper(LINES_HEIGHT)
        places = sorted({mark.x for mark in marks})
        tops = {place: max(mark.value for mark in marks if mark.x == place) for place in places}
        for name, dash in zip(dict.fromkeys(mark.name for mark in marks), DASHES, strict=False):
            _line(axes, [mark for mark in marks if mark.name == name], dash, tops)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(places))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(places, [f"{place:,g}" for place in places])
        axes.margins(x=0.1)
        axes.set_ylim(0, max(tops.values()) * 1.18)
        axes.set_xlabel(axis)
        axes.set_ylabel(unit)
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        _save(figure, file)


def _line(axes: Axes, marks: Sequence[Mark], dash: str, tops: Mapping[float, float]) -> None:
    """Draw one line; where another is above it, its figures stand below."""
    axes.plot([mark.x for mark in marks], [mark.value for mark in marks], "o" + dash, color=OURS)
    for mark in marks:
        is_top = mark.value >= tops[mark.x]
        _say(axes, mark.text, mark, (0, 10 if is_top else -11), ha="center")
    _say(axes, marks[-1].name, marks[-1], (10, 0), color=OURS)


def _say(axes: Axes, text: str, mark: Mark, offset: tuple[int, int], **options: str) -> None:
    place = (mark.x, mark.value)
    axes.annotate(text, place, offset, textcoords="offset points", va="center", **options)


def _paper(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height))
    figure.set_layout_engine("constrained", w_pad=PADDING, h_pad=PADDING)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
