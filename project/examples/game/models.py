"""The table of games."""

from django.db import models

from .rules import EMPTY, Mark, other, winner

__all__ = ["Game"]


class Game(models.Model):
    """One game; a seat is empty, or has the `user_id` and the name of a player."""

    slug = models.SlugField(unique=True)
    cells = models.CharField(max_length=9, default=EMPTY)
    turn = models.CharField(max_length=1, default="x")
    x_id = models.CharField(max_length=150, blank=True)
    x_name = models.CharField(max_length=150, blank=True)
    o_id = models.CharField(max_length=150, blank=True)
    o_name = models.CharField(max_length=150, blank=True)

    def __str__(self) -> str:
        return self.slug

    @property
    def seats(self) -> dict[Mark, str]:
        """The `user_id` at each seat; empty where it is free."""
        return {"x": self.x_id, "o": self.o_id}

    @property
    def names(self) -> dict[Mark, str]:
        """The name of the player at each seat."""
        return {"x": self.x_name, "o": self.o_name}

    def seat_of(self, user_id: str) -> Mark | None:
        """Return the seat of a user."""
        return next((mark for mark, taken in self.seats.items() if taken == user_id), None)

    def sit(self, mark: Mark, user_id: str, name: str) -> None:
        """Give a seat to a user, or empty it."""
        setattr(self, f"{mark}_id", user_id)
        setattr(self, f"{mark}_name", name)

    def put(self, mark: Mark, cell: int) -> None:
        """Put a mark into a cell; the turn passes to the other player."""
        self.cells = self.cells[:cell] + mark + self.cells[cell + 1 :]
        self.turn = other(mark)

    def clear(self) -> None:
        """Begin anew."""
        self.cells, self.turn = EMPTY, "x"

    @property
    def is_over(self) -> bool:
        """Whether a player has won, or no cell is free."""
        return winner(self.cells) is not None or "." not in self.cells
