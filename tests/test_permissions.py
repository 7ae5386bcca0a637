"""Every command by everybody, against the tables of docs/permissions.md."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission

from harness.client.encoding import Object
from harness.client.in_process import Socket
from harness.site import UNLIMITED
from realtime import testing
from realtime.consumers import ChatConsumer
from realtime.models import Membership, Message, Report, Room, Sanction
from realtime.store.accounts.identity import Identity
from realtime.store.messages.drafts import Draft
from realtime.store.outbox.room_numbering import append
from realtime.store.rooms import memberships
from realtime.store.rooms.access import direct_key
from realtime.wire.commands import COMMANDS
from realtime.wire.errors import ErrorCode
from tests.consumers.conftest import database, sqlite_url

__all__ = ["database", "sqlite_url"]

PAGE = Path(__file__).parent.parent / "docs" / "permissions.md"
Table = dict[str, dict[str, str]]
"""What is promised: by column, by row."""
PLACES = {"member": "member", "muted": "member", "banned": "member"} | {
    role: role for role in ("moderator", "owner")
}
"""The columns with a place in the room, and its role."""
SANCTIONS = {"muted": "mute", "banned": "ban"}
LIFTED = {"`unban`": "ban", "`unmute`": "mute"}
OF_STAFF = {
    "`ban` anew what staff gave": "ban",
    "`unban` what staff gave": "ban",
    "`mute` anew what staff gave": "mute",
    "`unmute` what staff gave": "mute",
}
PERMISSIONS = ["moderate_room", "change_room", "add_room"]
COMING_AND_GOING = {"joined", "left", "presence"}


@dataclass
class Stage:
    """A room for one cell, with an owner, a moderator and a member, and whoever acts."""

    room: Room
    actor: Any
    owner: Any
    moderator: Any
    member: Any
    newcomer: Any
    staff: Any
    invitation: str
    said: Message
    own: Message | None = None

    @property
    def witness(self) -> Any:
        """Somebody who is there and hears what is said."""
        return self.member if self.room.kind == "direct" else self.moderator


Fields = Callable[[Stage], dict[str, Any]]


def in_room(**more: Any) -> Fields:
    return lambda stage: {"room": stage.room.slug, **more}


def judged(name: str = "member", **more: Any) -> Fields:
    return lambda stage: in_room(user_id=str(getattr(stage, name).pk), **more)(stage)


def about(name: str) -> Fields:
    # Whose actor has said nothing names a message that is not there.
    return lambda stage: in_room(id=getattr(getattr(stage, name), "pk", 10**9))(stage)


ROWS: dict[str, Fields] = {
    "`auth`": lambda stage: {},
    "`ping`": lambda stage: {},
    "`pong`": lambda stage: {},
    "`join`": in_room(),
    "`joins`": lambda stage: {"rooms": [{"room": stage.room.slug}]},
    "`leave`": in_room(),
    "`leave` for good": in_room(for_good=True),
    "`message`": in_room(content="said", nonce="n"),
    "`message`, the room is read-only": in_room(content="said", nonce="n"),
    "`history`": in_room(),
    "`read`": in_room(seq=1),
    "`typing`": in_room(),
    "`signal`": in_room(data={}),
    "`typing`, the room is read-only": in_room(),
    "`signal`, the room is read-only": in_room(data={}),
    "`presence`": in_room(),
    "`create`": lambda stage: {"title": f"Made by {stage.room.slug}"},
    "`direct`": lambda stage: {"user_id": str(stage.member.pk)},
    "`accept`": lambda stage: {"invitation": stage.invitation},
    "`membership`": in_room(accepted=True),
    "`block`": lambda stage: {"user_id": str(stage.newcomer.pk)},
    "`configure` slow or read-only": in_room(slow_seconds=7),
    "`configure` the title": in_room(title="Another"),
    "`invite` a user": lambda stage: in_room(username=stage.newcomer.username)(stage),
    "`invite` by a link": in_room(),
    "`appoint`": judged(role="moderator"),
    "`appoint` an owner": judged(role="owner"),
    "`kick`": judged(),
    "`kick` a moderator": judged("moderator"),
    "`kick` the owner": judged("owner"),
    "`kick` staff": judged("staff"),
    "`ban`": judged(),
    "`ban` anew what staff gave": judged(seconds=1),
    "`unban`": judged(),
    "`unban` what staff gave": judged(),
    "`mute`": judged(),
    "`mute` anew what staff gave": judged(seconds=1),
    "`unmute`": judged(),
    "`unmute` what staff gave": judged(),
    "`delete` one's own": about("own"),
    "`delete`": about("said"),
    "`report`": about("said"),
}
STANDING = {
    *("`auth`", "`ping`", "`pong`", "`join`", "`joins`", "`create`", "`direct`", "`accept`"),
    *("`membership`", "`block`"),
}
"""What is done without having entered."""
SILENT = {"`pong`", "`read`"} | {
    f"{command}{where}"
    for command in ("`typing`", "`signal`")
    for where in ("", ", the room is read-only")
}
UNCHANGING = (
    STANDING
    | SILENT
    | {"`leave`", "`leave` for good", "`history`", "`presence`", "`invite` by a link"}
)
"""What need not change the room where it is allowed."""


def tables() -> dict[str, Table]:
    """The tables of the page by the kind of room in their heading."""
    intro, *parts = re.split(r"^## A (\w+) room\n", PAGE.read_text(), flags=re.MULTILINE)
    found = {kind: _table(text) for kind, text in zip(parts[::2], parts[1::2], strict=True)}
    [code] = re.findall(r"Every command of a stranger .+ answered with `(\w+)`", intro)
    return found | {"public": {"stranger": dict.fromkeys(ROWS, code), **found["public"]}}


def _table(text: str) -> Table:
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    (_, *columns), _, *rows = [[cell.strip() for cell in line] for line in lines]
    return {
        column: {label: cells[number] for label, *cells in rows}
        for number, column in enumerate(columns)
    }


TABLES = tables()
OF_TOPICS = {"subscribe", "subscribes", "unsubscribe", "call"}
"""Each topic class decides on these."""
OF_QUESTIONS = {"answer"}
"""The code that asks decides on these."""
COLUMNS = {
    "public": [
        "stranger", "guest", "member", "muted", "banned", "moderator", "owner", "staff"
    ],
    "private": [
        "guest", "other user", "member", "muted", "banned", "moderator", "owner", "staff"
    ],
    "direct": ["guest", "one of the two", "other user", "staff"],
}  # fmt: skip


def test_the_document_names_everybody() -> None:
    assert {kind: list(table) for kind, table in TABLES.items()} == COLUMNS


@pytest.mark.parametrize("kind", COLUMNS)
def test_the_document_names_every_command(kind: str) -> None:
    """And each of its cells is a promise."""
    for cells in TABLES[kind].values():
        assert list(cells) == list(ROWS)
        assert set(cells.values()) <= {"yes", *ErrorCode}
    assert {label.split("`")[1] for label in ROWS} == set(COMMANDS) - OF_TOPICS - OF_QUESTIONS


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        pytest.param(kind, column, marks=[pytest.mark.exhaustive] if column in columns[1:] else [])
        for kind, columns in COLUMNS.items()
        for column in columns
    ],
)
async def test_what_happens_is_what_the_document_says(
    database: str, kind: str, column: str
) -> None:
    """Cell by cell; what is refused changes nothing and is heard by nobody."""
    users = await sync_to_async(_people)(column)
    found = {}
    async with testing.engine(GUESTS=column != "stranger", **UNLIMITED):
        for number, label in enumerate(ROWS):
            stage = await sync_to_async(_set)(f"room-{number}", kind, column, label, users)
            found[label] = await _outcome(stage, column, label)
    assert found == TABLES[kind][column]


def _people(column: str) -> dict[str, Any]:
    users = get_user_model().objects
    names = ("actor", "owner", "moderator", "member", "newcomer", "staff")
    people: dict[str, Any] = {name: users.create_user(name) for name in names}
    _make_staff(people["staff"])
    if column == "staff":
        _make_staff(people["actor"])
    if column == "owner":
        people["owner"] = people["actor"]
    if column in ("stranger", "guest"):
        people["actor"] = None
    return people


def _make_staff(user: Any) -> None:
    user.is_staff = True
    user.save()
    user.user_permissions.set(Permission.objects.filter(codename__in=PERMISSIONS))


def _set(slug: str, kind: str, column: str, label: str, users: dict[str, Any]) -> Stage:
    is_direct = kind == "direct"
    room = _direct(slug, column, users) if is_direct else _room(slug, kind, column, users)
    if label.endswith("the room is read-only"):
        Room.objects.filter(pk=room.pk).update(is_read_only=True)
    _sanction(room, SANCTIONS.get(column), users["actor"])
    if not is_direct:  # there the member is the witness
        _sanction(room, LIFTED.get(label), users["member"], rank=Sanction.Rank.MODERATOR)
        _sanction(room, OF_STAFF.get(label), users["member"], rank=Sanction.Rank.SITE)
    offered = room if kind == "private" else Room.objects.create(slug=f"{slug}-b", kind="private")
    Membership.objects.get_or_create({"role": "owner"}, room=offered, user=users["owner"])
    invitation = memberships.invitation(offered, Identity.of(users["owner"]))
    said = _say(room, Identity.of(users["member"]))
    return Stage(room=room, invitation=invitation, said=said, **users)


def _room(slug: str, kind: str, column: str, users: dict[str, Any]) -> Room:
    room = Room.objects.create(slug=slug, kind=kind)
    roles = {users[role]: role for role in ("owner", "moderator", "member")}
    if column in PLACES:
        roles[users["actor"]] = PLACES[column]
    for user, role in roles.items():
        Membership.objects.create(room=room, user=user, role=role)
    return room


def _direct(slug: str, column: str, users: dict[str, Any]) -> Room:
    one = users["actor" if column == "one of the two" else "owner"]
    key = direct_key(str(one.pk), str(users["member"].pk))
    Room.objects.filter(direct_key=key).delete()
    room = Room.objects.create(slug=slug, kind="direct", direct_key=key)
    for user in (one, users["member"]):
        Membership.objects.create(room=room, user=user)
    return room


def _sanction(room: Room, kind: str | None, user: Any, **fields: Any) -> None:
    if kind is not None:
        Sanction.objects.create(room=room, kind=kind, user_key=str(user.pk), **fields)


def _say(room: Room, who: Identity) -> Message:
    [stored] = append([Draft.by(who, room.pk, "hello")])
    return Message.objects.get(pk=stored.state.id)


async def _outcome(stage: Stage, column: str, label: str) -> str:
    """What the command gets: "yes" or an error's code."""
    scope = {} if stage.actor is None else {"user": stage.actor}
    actor = Socket(application=ChatConsumer.as_asgi(), **scope)
    async with Socket(application=ChatConsumer.as_asgi(), user=stage.witness) as witness:
        await witness.join(stage.room.slug)
        await actor.open()
        if column != "stranger":
            await _enter(actor, stage, label)
        await witness.settled()
        before = await sync_to_async(_state)(stage)
        found = await _ask(actor, label, stage)
        heard = {item["type"] for item in await witness.settled()} - COMING_AND_GOING
        has_changed = before != await sync_to_async(_state)(stage)
        await actor.close()
    if found != "yes":
        assert (heard, has_changed) == (set(), False), label
    elif label not in UNCHANGING:
        assert has_changed, label
    return found


async def _enter(actor: Socket, stage: Stage, label: str) -> None:
    """Be known, have said something, and be in the room where that is possible."""
    welcome = await actor.expect("welcome")
    who = Identity(welcome["user_id"], welcome["username"], stage.actor)
    stage.own = await sync_to_async(_say)(stage.room, who)
    if label not in STANDING:
        await actor.ask("join", room=stage.room.slug)


async def _ask(actor: Socket, label: str, stage: Stage) -> str:
    kind, fields = label.split("`")[1], ROWS[label](stage)
    if label not in SILENT:
        return _code(await actor.ask(kind, **fields))
    await actor.send(kind, ref="silent", **fields)
    said = [item for item in await actor.settled() if item.get("ref") == "silent"]
    return _code(*said) if said else "yes"


def _code(reply: Object) -> str:
    return str(reply["code"]) if reply["type"] == "error" else "yes"


def _state(stage: Stage) -> list[Any]:
    """All that a command could change; who enters a public room gets a place by that alone."""
    room = stage.room
    places_of_others = Membership.objects.filter(room=room).exclude(user=stage.actor)
    return [
        *Room.objects.filter(pk=room.pk).values(),
        *places_of_others.order_by("pk").values("user", "role"),
        *Message.objects.filter(room=room).order_by("pk").values("content", "changed_seq"),
        *Sanction.objects.filter(room=room).order_by("pk").values("kind", "user_key", "ends_at"),
        *Report.objects.filter(message__room=room).values("reporter"),
        Room.objects.count(),
    ]
