"""The commands of whoever runs a room: making it, letting people in, and keeping order."""

from collections.abc import Callable
from functools import partial
from typing import Any

from .. import moderation as acts
from .. import rooms
from ..conf import config
from ..models import Message, Room
from ..store.accounts.identity import Identity
from ..store.accounts.visitor import Visitor
from ..store.database.alias import database
from ..store.moderation import actions
from ..store.moderation.sanctions import describe, mute_on_site
from ..store.rooms import management, memberships
from ..store.rooms.access import RoomAccess, rights, unknown
from ..wire.commands import (
    Accept,
    Appoint,
    Ban,
    Configure,
    Create,
    Delete,
    Direct,
    Invite,
    Kick,
    Mute,
    Report,
    Unban,
    Unmute,
)
from ..wire.errors import CommandError, ErrorCode
from ..wire.events import Done, Invitation, RoomState
from .commands import command
from .people import PeopleConsumer
from .subscription import room_fields

__all__ = ["ChatConsumer"]

BY_NAME = "it applies to the user id only: the address is unknown, or may be that of a proxy"
Judgement = Kick | Ban | Unban | Mute | Unmute


class ChatConsumer(PeopleConsumer):
    """A connection that can also make rooms and moderate them (docs/moderation.md)."""

    @command
    async def create(self, command: Create) -> RoomState:
        """Make a room of the user's own."""
        return await self._come_by(partial(_create, address=self.address), command)

    @command
    async def direct(self, command: Direct) -> RoomState:
        """Find or make the direct room with another user."""
        return await self._come_by(_direct, command)

    @command
    async def accept(self, command: Accept) -> RoomState:
        """Take the place that an invitation offers."""
        return await self._come_by(_accept, command)

    @command
    async def invite(self, command: Invite) -> Done | Invitation:
        """Give a user a place in a private room, or make an invitation."""
        subscription = await self._allowed(command.room, lambda entry: entry.may_moderate)
        token = await self.engine.db.wait(_invite, command, subscription.access, self.who)
        if token is None:
            return Done(room=command.room)
        seconds = config().invitation_seconds
        return Invitation(room=command.room, invitation=token, expires_in=seconds)

    @command
    async def configure(self, command: Configure) -> Done:
        """Change the settings of a room."""
        return await self._act(command, _configure, _may_configure)

    @command
    async def appoint(self, command: Appoint) -> Done:
        """Give a member another role."""
        return await self._act(command, _appoint, lambda entry: entry.may_manage)

    @command
    async def kick(self, command: Kick) -> Done:
        """Put a user out of a room for a short time."""
        return await self._judge_user(command)

    @command
    async def ban(self, command: Ban) -> Done:
        """Keep a user out of a room."""
        return await self._judge_user(command)

    @command
    async def unban(self, command: Unban) -> Done:
        """Let a banned user in again."""
        return await self._judge_user(command)

    @command
    async def mute(self, command: Mute) -> Done:
        """Let a user read only."""
        return await self._judge_user(command)

    @command
    async def unmute(self, command: Unmute) -> Done:
        """Let a muted user write again."""
        return await self._judge_user(command)

    @command
    async def delete(self, command: Delete) -> Done:
        """Delete the text of a message."""
        return await self._act(command, _delete)

    @command
    async def report(self, command: Report) -> Done:
        """Report a message to the moderators."""
        report = partial(_report, address=self.address)
        return await self._act(command, report, lambda entry: entry.may_read_history)

    async def _come_by(self, act: Callable[..., RoomAccess], command: Any) -> RoomState:
        entry = await self.engine.db.wait(act, command, self.who)
        return RoomState(room=entry.slug, **room_fields(entry))

    async def _judge_user(self, command: Judgement) -> Done:
        is_here = self.engine.admission.is_here(command.user_id)
        judge = partial(_judge, is_here=is_here)
        return await self._act(command, judge, lambda entry: entry.may_moderate)

    async def _act(
        self,
        command: Any,
        act: Callable[..., str | None],
        is_allowed: Callable[..., bool] = lambda entry: True,
    ) -> Done:
        subscription = await self._allowed(command.room, is_allowed)
        note = await self.engine.db.wait(act, command, subscription.access, self.who)
        return Done(room=command.room, note=note)


# What is done off the event loop. The first three may be asked for by anybody.


def _create(command: Create, who: Identity, *, address: str) -> RoomAccess:
    if (mute := mute_on_site(Visitor(who, address))) is not None:
        raise _denied(f"{describe(mute, *who.user_ids)}; until then you cannot make rooms")
    room = rooms.create(who, command.title, kind=command.kind, slug=command.room)
    return rights(room.slug, who)


def _direct(command: Direct, who: Identity) -> RoomAccess:
    if who.is_guest:
        raise _denied("you may not open direct rooms")
    try:
        other = actions.find_user(command.user_id, command.username)
    except CommandError:
        raise management.unreachable() from None
    return rights(rooms.direct(who, other).slug, who)


def _accept(command: Accept, who: Identity) -> RoomAccess:
    return rights(rooms.accept(command.invitation, who).slug, who)


def _invite(command: Invite, entry: RoomAccess, who: Identity) -> str | None:
    room = _room(entry)
    if command.void:
        memberships.void_invitations(room, who)
    if command.user_id is None and command.username is None:
        return None if command.void else rooms.invitation(room, by=who)
    try:
        user = actions.find_user(command.user_id, command.username)
    except CommandError:
        raise memberships.not_to_be_added() from None
    rooms.add(room, user, by=who)
    return None


def _may_configure(entry: RoomAccess) -> bool:
    return entry.may_moderate or entry.may_manage


def _configure(command: Configure, entry: RoomAccess, who: Identity) -> None:
    if command.title is not None and not entry.may_manage:
        raise _denied("only its owner names a room")
    if command.title is not None and entry.muted:
        raise _denied(f"{entry.muted}; until then you cannot change the title")
    management.configure(
        _room(entry),
        who,
        title=command.title,
        slow_seconds=command.slow_seconds,
        is_read_only=command.read_only,
    )


def _appoint(command: Appoint, entry: RoomAccess, who: Identity) -> None:
    try:
        user = actions.find_user(command.user_id)
    except CommandError:
        raise memberships.no_member() from None
    memberships.appoint(_room(entry), user, command.role, who)


def _judge(command: Judgement, entry: RoomAccess, who: Identity, *, is_here: bool) -> str | None:
    room = _room(entry)
    user = actions.target(command.user_id, room, is_here=is_here)
    if user == who.user_id:
        raise _denied("that is you")
    actions.check_rank(room, entry.may_manage, user)
    more: dict[str, Any] = {"by": who, "rank": actions.rank_of(who, room)}
    match command:
        case Kick():
            acts.kick(room, user, reason=command.reason, **more)
        case Unban():
            acts.unban(room, user, **more)
        case Unmute():
            acts.unmute(room, user, **more)
        case Ban() | Mute():
            return _sanction(command, room, user, more)
    return None


def _sanction(command: Ban | Mute, room: Room, user: str, more: dict[str, Any]) -> str | None:
    """Ban or mute; return a note for the moderator, or None."""
    addresses = actions.addresses_of(user) if command.address else None
    act = acts.ban if isinstance(command, Ban) else acts.mute
    act(room, user, addresses=addresses, seconds=command.seconds, reason=command.reason, **more)
    return BY_NAME if command.address and not addresses else None


def _delete(command: Delete, entry: RoomAccess, who: Identity) -> None:
    messages = Message.objects.using(database()).filter(pk=command.id, room=entry.room_id)
    sender = messages.values_list("sender", flat=True).first()
    if sender is None:
        raise actions.unknown_message()
    is_own = sender == who.user_id
    if not (entry.may_moderate or (is_own and (entry.may_post or entry.is_closed))):
        others = "only moderators delete what others said"
        raise _denied(entry.refusal if is_own else others)
    acts.delete(command.id, by=who)


def _report(command: Report, entry: RoomAccess, who: Identity, *, address: str) -> None:
    actions.report(command.id, entry.room_id, who, command.reason, address=address)


def _room(entry: RoomAccess) -> Room:
    room = Room.objects.using(database()).filter(pk=entry.room_id).first()
    if room is None:
        raise unknown(entry.slug)
    return room


def _denied(text: str) -> CommandError:
    return CommandError(ErrorCode.PERMISSION_DENIED, text)
