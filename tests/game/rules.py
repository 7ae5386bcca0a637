"""The rules of the game, which all three ways use: two players take nine cells in turn.

The games are in memory, so they are those of one process.
"""

from typing import NamedTuple

__all__ = ["BadMove", "Board", "games", "join", "leave", "move"]

PLAYERS, CELLS = 2, 9
games: dict[str, "Board"] = {}


class BadMove(Exception):  # noqa: N818 - what a player did
    """A move that the rules forbid; `field` names what is wrong with it, if anything is."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class Board(NamedTuple):
    """The players in the order of their turns, who has each cell, and whose turn it is."""

    players: list[str]
    cells: list[str]
    turn: str


def join(game: str, player: str) -> Board:
    """Take one of the two places."""
    board = games.get(game, Board([], [""] * CELLS, player))
    if player in board.players:
        return board
    if len(board.players) == PLAYERS:
        raise BadMove("Two players are in the game already.")
    games[game] = board._replace(players=[*board.players, player])
    return games[game]


def move(game: str, player: str, cell: int) -> Board:
    """Take a cell."""
    board = _board_of(game, player)
    if len(board.players) < PLAYERS:
        raise BadMove("Wait for the other player.")
    if board.turn != player:
        raise BadMove("It is the turn of the other player.")
    if board.cells[cell]:
        raise BadMove("This cell is taken.", "cell")
    cells = [*board.cells[:cell], player, *board.cells[cell + 1 :]]
    [other] = [one for one in board.players if one != player]
    games[game] = Board(board.players, cells, other)
    return games[game]


def leave(game: str, player: str) -> Board:
    """Leave the game, which begins again."""
    others = [one for one in _board_of(game, player).players if one != player]
    games[game] = Board(others, [""] * CELLS, others[0] if others else "")
    if not others:
        return games.pop(game)
    return games[game]


def _board_of(game: str, player: str) -> Board:
    board = games.get(game)
    if board is None or player not in board.players:
        raise BadMove("Join the game first.")
    return board
