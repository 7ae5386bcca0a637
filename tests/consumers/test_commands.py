"""A consumer's commands: bound by annotation, wrong ones refused, and a site's own ones."""

import re
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Annotated, Any, ClassVar

import pytest
from msgspec import Meta, Struct

from harness.client.encoding import ENCODINGS
from harness.client.in_process import Socket
from harness.client.plain import PlainSocket
from realtime.consumers import (
    Account,
    ChatConsumer,
    Command,
    CommandError,
    Consumer,
    Cost,
    Done,
    ErrorCode,
    Joining,
    Messages,
    Moderation,
    Outgoing,
    Reply,
    Rooms,
    command,
    frames,
)
from realtime.consumers.commands import CommandSet
from realtime.engine.engine import Engine
from realtime.testing import connect
from realtime.topics import Command as TopicCommand
from realtime.wire.commands import (
    COMMANDS,
    Answer,
    Auth,
    Message,
    Ping,
    Pong,
)
from realtime.wire.costs import COSTS
from realtime.wire.errors import Disconnect
from tests.consumers.failures import FAILURES
from tests.consumers.test_base import limited

PAGE = Path(__file__).parent.parent.parent / "docs" / "consumers.md"


class Echo(Command):
    """Say the same again."""

    text: str
    times: Annotated[int, Meta(ge=1, le=3)] = 1


class Echoed(Reply):
    """What was said."""

    text: str


class EchoConsumer(Consumer):
    """Replies with what it is told."""

    @command
    async def echo(self, command: Echo) -> Echoed:
        return Echoed(text=command.text * command.times)


class Place(Struct):
    """A field of the board."""

    row: Annotated[int, Meta(ge=0, le=2)]
    column: Annotated[int, Meta(ge=0, le=2)]


class Move(Command):
    """Take a field."""

    place: Place


class Moves(Command):
    """Take several fields."""

    places: list[Place]
    comments: list[str] = []


class Look(Command, tag="look"):
    """Ask for the board."""


class Reset(Command):
    """Begin again; nobody waits for a reply."""


class Moved(Reply):
    """A field is taken."""

    player: str
    place: Place


class Board(Reply, tag="board"):
    """All fields that are taken."""

    places: list[Place]


class Game(Consumer):
    """A board that all connections share."""

    taken: ClassVar[dict[tuple[int, int], str]] = {}

    async def on_connect(self) -> None:
        self.reply(self._board())

    @command(cost=Cost("act", 2))
    async def move(self, command: Move) -> Moved:
        place = command.place
        if self.taken.setdefault((place.row, place.column), self.id) != self.id:
            raise CommandError(ErrorCode.PERMISSION_DENIED, "another player has that field")
        return Moved(player=self.identity.username, place=place)

    @command(cost=Cost("act", 0, "places"))
    async def moves(self, command: Moves) -> Board:
        self.taken.update({(place.row, place.column): self.id for place in command.places})
        return self._board()

    @command
    async def look(self, command: Look) -> Board:
        return self._board()

    @command
    async def reset(self, command: Reset) -> None:
        self.taken.clear()

    def _board(self) -> Board:
        return Board(places=[Place(row, column) for row, column in self.taken])


# Through a socket.


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_an_own_command_is_answered(engine: Engine, encoding: str) -> None:
    """With its ref, if it has one; wrong fields and other commands are refused as ours are."""
    async with connect(application=EchoConsumer.as_asgi(), encoding=encoding) as socket:
        assert await socket.ask("echo", text="hé", times=2) == {
            "type": "echoed",
            "text": "héhé",
            "ref": socket.arrived[-1]["ref"],
        }
        socket.send("echo", text="x")
        assert await socket.next() == {"type": "echoed", "text": "x"}
        assert (await socket.ask("echo", text=7))["code"] == "invalid_message"
        assert (await socket.ask("echo", text="x", times=4))["code"] == "invalid_message"
        assert (await socket.ask("echo", text="\0"))["code"] == "invalid_message"
        assert (await socket.ask("join", room="general"))["code"] == "unknown_type"
        assert (await socket.ask("auth", name="Grace"))["username"] == "Grace"
        assert (await socket.ask("ping", t=1))["t"] == 1


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_game_is_played(engine: Engine, encoding: str) -> None:
    """Own commands with structs and lists, events, refusals and commands without a reply."""
    Game.taken.clear()
    game = {"application": Game.as_asgi(), "encoding": encoding}
    async with connect(**game) as one, connect(**game) as other:
        assert await one.next("board") == {"type": "board", "places": []}
        place = {"row": 1, "column": 2}
        moved = await one.ask("move", place=place)
        assert moved == {
            "type": "moved",
            "player": one.welcome["username"],
            "place": place,
            "ref": moved["ref"],
        }
        error = await other.ask("move", place=place)
        assert (error["code"], error["message"]) == (
            "permission_denied",
            "another player has that field",
        )
        assert (await other.ask("move", place={"row": 3, "column": 0}))["code"] == "invalid_message"
        places = [{"row": 0, "column": 0}, {"row": 0, "column": 1}]
        board = await other.ask("moves", places=places, comments=["a", "b"])
        assert board["places"] == [place, *places]
        assert (await other.ask("moves", places=[], comments=["\0"]))["code"] == "invalid_message"
        one.send("reset", ref=1)
        assert (await one.ask("look"))["places"] == []
        assert not [item for item in one.arrived if item.get("ref") == 1]


async def test_an_own_command_is_paid_for(engine: Engine, settings: Any) -> None:
    """From the allowance that it names, by a field if it says so."""
    limited(settings, ACTS_PER_MINUTE=5)
    Game.taken.clear()
    async with connect(application=Game.as_asgi()) as socket:
        places = [{"row": 0, "column": number} for number in range(3)]
        await socket.ask("moves", places=places)
        assert (await socket.ask("move", place=places[0]))["type"] == "moved"
        assert (await socket.ask("move", place=places[0]))["code"] == "rate_limited"
        assert (await socket.ask("look"))["type"] == "board"


async def test_a_similar_command_is_named(engine: Engine) -> None:
    """Only one that there is here; the text begins as ever."""
    async with connect(application=EchoConsumer.as_asgi()) as socket:
        error = await socket.ask("ehco")
        assert error["message"] == "There is no command 'ehco'. Did you mean 'echo'?"
        assert (await socket.ask("fly"))["message"] == "There is no command 'fly'."
        assert (await socket.ask("messag"))["message"] == "There is no command 'messag'."


async def test_an_own_command_before_the_first_message_is_refused(
    engine: Engine, settings: Any
) -> None:
    """As a command of the chat is: the client has to say who it is."""
    limited(settings, GUESTS=False)
    socket = Socket(application=EchoConsumer.as_asgi())  # it waits for no welcome
    await socket.open()
    assert (await socket.ask("echo", text="x"))["code"] == "not_authenticated"
    await socket.close()


async def test_a_reply_without_a_ref_is_an_unexpected_error(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what to write."""

    class Bad(Consumer):
        @command
        async def echo(self, command: Echo) -> Any:
            return Event(text="x")

    async with connect(application=Bad.as_asgi()) as socket:
        assert (await socket.ask("echo", text="x"))["code"] == "internal"
    assert "Event cannot be a reply: it has no `ref`; derive it from `Reply`" in caplog.text


async def test_a_site_may_refuse_with_a_code_of_its_own(engine: Engine) -> None:
    class Selling(Consumer):
        @command
        async def echo(self, command: Echo) -> Echoed:
            raise CommandError("sold_out", "There are no seats left.", retry_after=60)

    async with connect(application=Selling.as_asgi()) as socket:
        error = await socket.ask("echo", text="x")
        assert (error["code"], error["retryable"], error["retry_after"]) == ("sold_out", False, 60)


@pytest.mark.parametrize(("failure", "code"), FAILURES)
async def test_only_a_database_that_is_away_is_unavailable(
    engine: Engine, failure: Exception, code: str
) -> None:
    class Failing(Consumer):
        @command
        async def echo(self, command: Echo) -> Echoed:
            raise failure

    async with connect(application=Failing.as_asgi()) as socket:
        error = await socket.ask("echo", text="x")
        assert (error["code"], error["retryable"]) == (code, code == "unavailable")


GROUPS = {
    Account: "membership",
    Joining: "join",
    Messages: "read",
    Rooms: "create",
    Moderation: "ban",
}


@pytest.mark.parametrize("left_out", [Account, Messages, Rooms, Moderation])
async def test_a_group_of_the_chat_can_be_left_out(engine: Engine, left_out: type) -> None:
    """Its commands are unknown, and all others work; `Joining` is what the others stand on."""
    groups = tuple(group for group in (Account, Messages, Rooms, Moderation) if group != left_out)
    site = type("Site", groups, {})
    async with connect(application=site.as_asgi()) as socket:  # type: ignore[attr-defined]
        for group, kind in GROUPS.items():
            code = (await socket.ask(kind))["code"]  # its fields are missing
            assert code == ("unknown_type" if group is left_out else "invalid_message")
            await socket.ask("ping")
        await socket.join("general")


async def test_the_page_of_consumers_is_true(engine: Engine) -> None:
    """Its code blocks run, one after the other, and do what the page says."""
    page: dict[str, Any] = {"__name__": __name__}
    for snippet in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(snippet, page)
    [route, *chat] = page["websocket_urlpatterns"]
    assert (str(route.pattern), len(chat)) == ("ws/echo/", 1)
    async with connect(application=route.callback) as socket:
        socket.send("echo", text="hi", ref=1)
        assert await socket.next() == {"type": "echoed", "text": "hi", "ref": 1}
    async with connect(application=page["Game"].as_asgi()) as socket:
        assert (await socket.ask("guess", numbers=[1, 7]))["note"] == "right"
        assert (await socket.ask("guess", numbers=[1, 2, 3, 4]))["code"] == "permission_denied"
    async with connect(application=page["Clock"].as_asgi()) as socket:
        assert (await socket.next()) == {"type": "tick", "number": 0}
    with pytest.raises(Disconnect, match="4900"):
        async with connect(path="/ws/?slow=1", application=page["Clock"].as_asgi()) as slow:
            await slow.next("tick")
    async with connect(application=page["Users"].as_asgi()) as socket:
        assert (await socket.ask("count_users"))["number"] == 0
    async with connect(application=page["Meter"].as_asgi()) as socket:
        for number in (1, -1):
            socket.send("measure", value=number, ref=number)
        replies = {one["ref"]: one for one in [await socket.next(), await socket.next()]}
        assert (replies[1]["type"], replies[-1]["path"]) == ("done", "value")
    async with PlainSocket(page["RawEcho"].as_asgi()) as plain:
        assert (await plain.ask("hi"), await plain.ask(b"\xff")) == ("hi", b"\xff")
    async with PlainSocket(page["Upper"].as_asgi()) as plain:
        assert await plain.ask("hi") == "HI"
    async with connect(application=page["ShopChat"].as_asgi()) as socket:
        await socket.join("general")
        assert (await socket.ask("appoint", room="general"))["code"] == "unknown_type"
        assert (await socket.ask("ban", room="general", user_id="7"))["code"] == "unknown_type"


# At the definition of a class.


class Event(Outgoing):
    """Something that is no reply."""

    text: str


class Ping2(Command, tag="ping"):
    """A ping of a site."""


class Bare(Command, tag=False):
    """Has no `type`."""


def test_a_consumer_without_own_commands_has_those_of_each() -> None:
    assert set(Consumer.commands) == {Answer, Auth, Ping, Pong}


def test_the_chat_has_all_commands_of_the_protocol_at_their_cost() -> None:
    chat = ChatConsumer.commands
    assert set(chat) == set(COMMANDS.values())
    assert COSTS.items() >= {struct: handler.cost for struct, handler in chat.items()}.items()


def test_a_subclass_replaces_adds_and_leaves_out() -> None:
    class Loud(Game):
        look = None  # type: ignore[assignment]

        @command
        async def move(self, command: Move) -> Moved:
            return await super().move(command)

        @command
        async def echo(self, command: Echo) -> Echoed:
            return Echoed(text=command.text)

    assert set(Loud.commands) == (set(Game.commands) | {Echo}) - {Look}
    assert Loud.commands[Move].method is Loud.move
    assert Loud.commands[Move].cost == Cost("act", 2)
    assert Loud.commands.decoder.names == {
        "answer",
        "auth",
        "echo",
        "move",
        "moves",
        "ping",
        "pong",
        "reset",
    }
    assert set(Game.commands) == {Answer, Auth, Ping, Pong, Move, Moves, Look, Reset}


def test_a_mixin_that_is_no_consumer_brings_commands() -> None:
    class Mixin:
        @command
        async def echo(self, command: Echo) -> Done:
            return Done()

    class Mixed(Mixin, Consumer):
        pass

    assert Echo in Mixed.commands


def test_annotations_may_be_texts() -> None:
    """As in a module that postpones their evaluation."""
    page: dict[str, Any] = {"__name__": __name__}
    text = (
        "from __future__ import annotations\n"
        "from realtime.consumers import Command, Consumer, Done, command\n"
        "class Fly(Command):\n"
        "    height: int\n"
        "class Site(Consumer):\n"
        "    @command\n"
        "    async def fly(self, command: Fly) -> Done: ...\n"
    )
    exec(text, page)
    assert page["Fly"] in page["Site"].commands


async def two(self: Any, command: Echo) -> Done:
    return Done()


async def missing(self: Any, command) -> Done:  # type: ignore[no-untyped-def]
    return Done()


async def text(self: Any, command: str) -> Done:
    return Done()


async def base(self: Any, command: Command) -> Done:
    return Done()


async def many(self: Any, command: Echo, more: int) -> Done:
    return Done()


async def none(self: Any) -> Done:
    return Done()


async def later(self: Any, command: "Later") -> Done:  # type: ignore[name-defined]  # noqa: F821
    return Done()


async def event(self: Any, command: Echo) -> Event | None:
    return None


async def tag(self: Any, command: Ping2) -> Done:
    return Done()


async def bare(self: Any, command: Bare) -> Done:
    return Done()


def sync(self: Any, command: Echo) -> Done:
    return Done()


async def generator(self: Any, command: Echo) -> Any:
    yield Done()


async def many_echoes(self: Any, commands: list[Echo]) -> None: ...


async def texts(self: Any, commands: list[str]) -> None: ...


async def good(self: Any, command: Echo) -> Done:
    return Done()


class Foreign(TopicCommand):
    """A command of a topic."""


async def foreign(self: Any, command: Foreign) -> Done:
    return Done()


def copied(method: Callable[..., Any]) -> Callable[..., Any]:
    copy = FunctionType(method.__code__, method.__globals__, method.__name__)
    copy.__annotations__ = method.__annotations__
    return copy


def marked(method: Callable[..., Any], cost: Cost | None = None) -> Callable[..., Any]:
    """A copy of a function, marked as a command."""
    return command(copied(method)) if cost is None else command(cost=cost)(copied(method))


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "two methods for one struct": (
        {"one": marked(good), "two": marked(two)},
        "Site.two takes Echo, as `one` does: keep one of them.",
    ),
    "an own method for a command of ours": (
        {"sent": marked(good), "echo": marked(good)},
        "takes Echo, as",
    ),
    "no annotation": (
        {"move": marked(missing)},
        "Site.move has no annotation: write `def move(self, command: …)` with a subclass",
    ),
    "an annotation that is no command": (
        {"move": marked(text)},
        "Site.move is annotated with str, not with a command: write `def move",
    ),
    "a command of a topic": (
        {"move": marked(foreign)},
        "Site.move is annotated with Foreign, not with a command: write "
        "`def move(self, command: …)` with a subclass of `realtime.consumers.Command`.",
    ),
    "the base of all commands": ({"move": marked(base)}, "annotated with Command, not with"),
    "two arguments": ({"move": marked(many)}, "Site.move must take one argument: write"),
    "no argument": ({"move": marked(none)}, "Site.move must take one argument: write"),
    "an annotation that is not imported": (
        {"move": marked(later)},
        "Site.move has an annotation that is unknown at run time (name 'Later' is not defined)",
    ),
    "a reply without a ref": (
        {"move": marked(event)},
        "Site.move returns Event, which has no `ref`: derive that from `Reply`.",
    ),
    "two structs with one tag": (
        {"move": marked(tag)},
        "whose tag 'ping' another command has: write",
    ),
    "no tag": ({"move": marked(bare)}, "whose tag is not a text in `type`: leave `tag` out."),
    "a generator": ({"move": marked(generator)}, "Site.move contains `yield`: return the reply"),
    "a list without a batch": (
        {"move": marked(many_echoes)},
        "Site.move takes a list: write `@command(batch=…)`, or annotate it with one command.",
    ),
    "a batch without a list": (
        {"move": command(batch=50)(copied(good))},
        "Site.move gathers a batch, but takes no list: write "
        "`def move(self, commands: list[…])` with a subclass of `realtime.consumers.Command`.",
    ),
    "a batch of something else": (
        {"move": command(batch=50)(copied(texts))},
        "Site.move is annotated with str, not with a command: write",
    ),
    "an old name": (
        {"opened": good},
        "Site.opened is not called any more: rename it to `on_connect`.",
    ),
    "a plain function for the start": (
        {"on_connect": sync},
        "Site.on_connect is not async: write `async def on_connect(self)`.",
    ),
    "a subprotocol that is no tuple": (
        {"subprotocols": "mqtt"},
        "Site.subprotocols is text: write a tuple of subprotocols.",
    ),
    "frames marked as a command": (
        {"on_text": marked(good)},
        "Site.on_text takes frames, not commands: mark it with `@frames`.",
    ),
    "frames without an argument": (
        {"on_bytes": none},
        "Site.on_bytes must take one argument: write `async def on_bytes(self, data)`.",
    ),
    "frames that cost by a field": (
        {"on_text": frames(cost=Cost("act", 1, "text"))(copied(two))},
        "Site.on_text costs by 'text', but a frame has no fields.",
    ),
    "an unknown allowance": (
        {"move": marked(good, Cost("messages"))},
        "Site.move is paid from 'messages', which is no allowance: write 'message'.",
    ),
    "an unknown field": (
        {"move": marked(good, Cost("act", 1, "fields"))},
        "Site.move costs by 'fields', which Echo does not have: name a field of it.",
    ),
    "the name of something else": (
        {"end": marked(good)},
        "Site.end hides what a consumer needs: give it another name.",
    ),
    "the name of a property": (
        {"identity": marked(good)},
        "Site.identity hides what a consumer needs",
    ),
    "an override that is not marked": (
        {"ping": good},
        "Site.ping replaces a command: mark it with `@command`, or rename it.",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_what_to_write(name: str) -> None:
    methods, told = MISTAKES[name]
    with pytest.raises(TypeError) as raised:
        type("Site", (Consumer,), methods)
    assert told in str(raised.value)


def test_an_own_struct_for_a_command_of_ours_takes_its_place() -> None:
    """A site that left `message` out has one of its own."""

    class Short(Command, tag="message"):
        text: str

    class Site(ChatConsumer):
        message = None  # type: ignore[assignment]

        @command
        async def short(self, command: Short) -> Done:
            return Done()

    assert Message not in Site.commands
    assert Site.commands.decoder.decode('{"type":"message","text":"x"}') == Short(text="x")


def test_a_set_can_be_made_of_any_class() -> None:
    """A site's table is a mapping that can be printed."""
    assert CommandSet.of(EchoConsumer) == EchoConsumer.commands
