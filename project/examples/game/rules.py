"""The rules of noughts and crosses, without a database."""

from typing import Final, Literal

__all__ = ["EMPTY", "Mark", "other", "winner", "winning_line"]

Mark = Literal["x", "o"]
EMPTY: Final = "." * 9
LINES: Final = (
    (0, 1, 2), (3, 4, 5), (6, 7, 8),
    (0, 3, 6), (1, 4, 7), (2, 5, 8),
    (0, 4, 8), (2, 4, 6),
)  # fmt: skip


def other(mark: Mark) -> Mark:
    """Return the mark of the other player."""
    return "o" if mark == "x" else "x"


def winning_line(cells: str) -> tuple[int, ...]:
    """Return the three cells of the winner, or nothing."""
    for line in LINES:
        if {cells[cell] for cell in line} in ({"x"}, {"o"}):
            return line
    return ()


def winner(cells: str) -> str | None:
    """Return the mark that has three in a line."""
    line = winning_line(cells)
    return cells[line[0]] if line else None
