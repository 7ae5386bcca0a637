"""Promises of docs/security.md that no other test is about."""

import re
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from harness.client.encoding import ENCODINGS
from realtime.consumers import ChatConsumer
from realtime.engine.engine import Engine
from realtime.models import Membership, Message, Room
from realtime.testing import connect
from realtime.wire.commands import Command, Ping
from tests.consumers.conftest import ada, bob, database, engine, private, room, sqlite_url
from tests.test_architecture import MODULES, imports_of

__all__ = ["ada", "bob", "database", "engine", "private", "room", "sqlite_url"]

ROOT = Path(__file__).parent.parent
UNSAFE = {"pickle", "marshal", "shelve", "dill", "yaml"}
FORGED = {
    "user_id": "1",
    "username": "admin",
    "sender": "1",
    "user": 1,
    "id": 1,
    "seq": 99,
    "changed_seq": 99,
    "from": 1,
    "created_at": "2001-01-01T00:00:00.000Z",
    "edited_at": "2001-01-01T00:00:00.000Z",
    "deleted": True,
    "role": "owner",
    "rights": ["moderate"],
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", ["message", "typing", "signal"])
async def test_who_said_what_and_when_is_set_by_the_server(
    engine: Engine, room: Room, encoding: str, kind: str
) -> None:
    """Whatever else a client sends along is for nobody."""
    async with connect(encoding=encoding) as one, connect() as other:
        await one.join("general")
        await other.join("general")
        fields = {"message": {"content": "hi"}, "signal": {"data": {}}}.get(kind, {})
        one.send(kind, room="general", **fields, **FORGED)
        heard = await other.next(kind)
    own = {"user_id": one.welcome["user_id"], "username": one.welcome["username"]}
    assert {name: heard[name] for name in own} == own
    told = set(heard) & set(FORGED) - {"user_id", "username"}
    assert told == ({"id", "seq", "created_at"} if kind == "message" else set())
    if kind == "message":
        message = await sync_to_async(Message.objects.get)()
        assert (heard["seq"], heard["id"]) == (1, message.pk)
        assert (message.sender, message.edited_at, message.deleted_at) == (
            own["user_id"],
            None,
            None,
        )
        assert message.created_at.year > 2001


async def test_to_resume_takes_the_rights_of_now(
    engine: Engine, private: Room, ada: Any, bob: Any
) -> None:
    """Who lost the place while away gets nothing of what was missed, in whichever way."""
    for user in (ada, bob):
        await sync_to_async(Membership.objects.create)(room=private, user=user)
    async with connect(ada) as socket:
        joined = await socket.join("secret")
    since = {"seq": joined["through"], "epoch": joined["epoch"]}
    async with connect(bob) as other:
        await other.join("secret")
        await other.ask("message", room="secret", content="missed", nonce="n")
    await sync_to_async(lambda: Membership.objects.get(user=ada).delete())()
    async with connect(ada) as socket:
        assert (await socket.ask("join", room="secret", since=since))["code"] == "unknown_room"
        target = {"room": "secret", "since": since}
        assert (await socket.ask("joins", rooms=[target]))["code"] == "unknown_room"
        assert (await socket.ask("history", room="secret", after=0))["code"] == "not_joined"
        assert "missed" not in str(socket.arrived)


@pytest.mark.parametrize("error", [OperationalError, ValueError, KeyError, RecursionError])
async def test_what_was_raised_is_not_for_clients(
    engine: Engine, room: Room, error: type[Exception]
) -> None:
    """Neither its text nor where it was."""

    class Broken(ChatConsumer):
        async def handle(self, command: Command) -> None:
            if isinstance(command, Ping):
                raise error("password of the database")
            await super().handle(command)

    async with connect(application=Broken.as_asgi()) as socket:
        socket.send("ping", ref="last")
        reply = await socket.next()
        assert reply["type"] in ("error", "disconnect")
    told = str(socket.arrived)
    assert not re.search(r"password|Traceback|\.py|Error", told)


def test_nothing_is_read_that_could_run() -> None:
    """What comes from a layer, a client or a table is JSON or MessagePack, and typed."""
    for path in MODULES:
        imported = {name.split(".")[0] for name in imports_of(path, path.read_text())}
        assert not imported & UNSAFE, path
        assert not re.search(r"(?<![\w.])(eval|exec|compile)\(", path.read_text()), path


def test_every_proof_that_the_page_names_is_there() -> None:
    """Each file and function, and each promise has one."""
    page = (ROOT / "docs" / "security.md").read_text()
    promises = re.split(r"^### (.+)\n", page.split("\n## Content security policy\n")[0], flags=re.M)
    assert len(promises[1::2]) >= 50
    for promise, text in zip(promises[1::2], promises[2::2], strict=True):
        named = re.findall(r"^- `((?:tests|clients)/[\w/.]+)(?:::(\w+))?`$", text, re.MULTILINE)
        assert named, promise
        for file, function in named:
            source = (ROOT / file).read_text()
            assert not function or re.search(rf"def {function}\(", source), (file, function)
