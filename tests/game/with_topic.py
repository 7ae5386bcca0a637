"""The game with a topic of this package."""

from datetime import timedelta
from typing import Annotated, Any

from msgspec import Meta

from realtime.topics import Command, CommandError, ErrorCode, Event, Topic, command

from . import rules


class Join(Command):
    pass


class Leave(Command):
    pass


class Move(Command):
    cell: Annotated[int, Meta(ge=0, le=8)]


class State(Event):
    players: list[str]
    cells: list[str]
    turn: str


class GameTopic(Topic):
    path = "game/<slug:slug>"
    events = [State]
    keep = timedelta(days=1)
    slug: str

    def may_subscribe(self) -> bool:
        return not self.identity.is_guest

    @command
    def join(self, command: Join) -> State:
        return self.play(rules.join)

    @command
    def leave(self, command: Leave) -> State:
        return self.play(rules.leave)

    @command
    def move(self, command: Move) -> State:
        return self.play(rules.move, command.cell)

    def play(self, rule: Any, *given: Any) -> State:
        try:
            board = rule(self.slug, self.identity.username, *given)
        except rules.BadMove as error:
            path = error.field and f"data.{error.field}"
            raise CommandError(ErrorCode.PERMISSION_DENIED, error.message, path=path) from None
        state = State(**board._asdict())
        self.set("state", state)
        return state
