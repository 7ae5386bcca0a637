"""The topic of a game: its state as the value of one key, and what the players do."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated

from django.db import transaction
from msgspec import Meta, Struct

from realtime.topics import Command, CommandError, ErrorCode, Event, Topic, command

from .models import Game
from .rules import Mark, winner, winning_line

__all__ = ["GameTopic"]


class Join(Command):
    """Take a free seat."""


class Move(Command):
    """Put a mark into a cell, 0 to 8."""

    cell: Annotated[int, Meta(ge=0, le=8)]


class Leave(Command):
    """Give the seat back."""


class Again(Command):
    """Begin a new game, when the last one is over."""


class Player(Struct):
    """A user or guest at a seat."""

    user_id: str
    name: str


class Table(Event):
    """The whole state: `.` is a free cell, and `line` are the cells of the winner."""

    cells: str
    turn: Mark
    players: dict[str, Player]
    winner: str | None = None
    line: list[int] = []
    is_over: bool = False


class Seated(Event):
    """A player has taken a seat."""

    mark: Mark
    name: str


class Moved(Event):
    """A player has put a mark into a cell."""

    mark: Mark
    cell: int


class Left(Event):
    """A player has given a seat back."""

    mark: Mark
    name: str


class GameTopic(Topic):
    """A game for two players, which everybody may watch."""

    path = "game/<slug:slug>"
    events = [Table, Seated, Moved, Left]
    keep = timedelta(days=1)
    model = Game
    slug: str

    def may_subscribe(self) -> bool:
        """Allow every user and guest, if the game exists."""
        return True

    @command
    def join(self, command: Join) -> Seated:
        """Take a seat; a player who has one keeps it."""
        user = self.identity
        with self.changed() as game:
            seat = game.seat_of(user.user_id)
            free = next((mark for mark, taken in game.seats.items() if not taken), None)
            if seat is None and free is None:
                raise CommandError(ErrorCode.LIMIT_EXCEEDED, "Both seats are taken.")
            if seat is None and free is not None:
                game.sit(free, user.user_id, user.username)
                self.publish(Seated(mark=free, name=user.username))
            return Seated(mark=seat or free or "x", name=user.username)

    @command
    def move(self, command: Move) -> Moved:
        """Put a mark into a cell."""
        with self.changed() as game:
            mark = self.seat_in(game)
            if not all(game.seats.values()):
                raise CommandError(ErrorCode.CONFLICT, "Wait for the other player.")
            if game.is_over:
                raise CommandError(ErrorCode.CONFLICT, "The game is over.")
            if game.turn != mark:
                raise CommandError(ErrorCode.CONFLICT, "It is the turn of the other player.")
            if game.cells[command.cell] != ".":
                raise CommandError(ErrorCode.CONFLICT, "This cell is taken.", path="data.cell")
            game.put(mark, command.cell)
            moved = Moved(mark=mark, cell=command.cell)
            self.publish(moved)
            return moved

    @command
    def leave(self, command: Leave) -> Left:
        """Give the seat back; the next game begins with an empty table."""
        with self.changed() as game:
            mark = self.seat_in(game)
            left = Left(mark=mark, name=game.names[mark])
            game.sit(mark, "", "")
            game.clear()
            self.publish(left)
            return left

    @command
    def again(self, command: Again) -> None:
        """Clear the table after a game."""
        with self.changed() as game:
            self.seat_in(game)
            if not game.is_over:
                raise CommandError(ErrorCode.CONFLICT, "The game is not over.")
            game.clear()

    def seat_in(self, game: Game) -> Mark:
        """Return the seat of the caller. Raises `CommandError` for a spectator."""
        mark = game.seat_of(self.identity.user_id)
        if mark is None:
            raise CommandError(ErrorCode.PERMISSION_DENIED, "Join the game first.")
        return mark

    @contextmanager
    def changed(self) -> Iterator[Game]:
        """Lock the game, save what the block changes, and tell all who watch, on commit."""
        with transaction.atomic():
            game = Game.objects.select_for_update().get(slug=self.slug)
            yield game
            game.save()
            self.set("table", table_of(game))


def table_of(game: Game) -> Table:
    """Return the state of a game as clients see it."""
    return Table(
        cells=game.cells,
        turn="x" if game.turn == "x" else "o",
        players={
            mark: Player(user_id=taken, name=game.names[mark])
            for mark, taken in game.seats.items()
            if taken
        },
        winner=winner(game.cells),
        line=list(winning_line(game.cells)),
        is_over=game.is_over,
    )
