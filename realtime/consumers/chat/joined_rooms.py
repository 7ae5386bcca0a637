"""The rooms that a connection has joined; its rights in them are kept up to date."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ...engine.connections.one_way import OneWay
from ...engine.connections.rechecks import AGAIN_SECONDS, UNDECIDED_SECONDS, Rechecks
from ...store.rooms import access
from ...store.rooms.access import RoomAccess
from ...wire.errors import CommandError, ErrorCode
from ...wire.events import Done, Removed, RoomState
from ..topics import Subscribing
from .subscription import RoomSubscription, room_fields

__all__ = ["ATTEMPTS", "CHANGING", "JoinedRooms"]

ATTEMPTS = 3
"""How often an access is read again because the rights have changed meanwhile."""
CHANGING = _("The rights in this room are changing. Try again in a moment.")
LEAVE_FIRST = _("Leave your rooms first.")
UNDECIDED = _("The server cannot decide whether you may be in this room. Try again in a moment.")
Decide = Callable[[list[access.AccessRequest]], dict[access.AccessRequest, access.AccessResult]]


class JoinedRooms(Subscribing):
    """The subscriptions to rooms, and the check of rights before each command."""

    def __init__(self) -> None:
        super().__init__()
        self._subscriptions: dict[str, RoomSubscription] = {}
        self._changes = 0
        """Rises when all rights have to be checked again, as those of another user."""

    async def on_disconnect(self) -> None:
        """Stop the checks of access to rooms."""
        self._rechecks.stop()
        for subscription in self._subscriptions.values():
            subscription.cancel_recheck()

    def reason_against_auth(self) -> object:
        """Return a reason if the connection is in a room: others know it there by its user."""
        return LEAVE_FIRST if self._subscriptions else super().reason_against_auth()

    def on_rights_changed(self, room: str = "", user_id: str = "") -> None:
        """Check the rights again: in a room, or in all rooms and the one that is being joined."""
        super().on_rights_changed(room, user_id)
        if room:
            self.recheck(room, user_id)
            return
        self._changes += 1
        for one in list(self._subscriptions):
            self.recheck(one, self.identity.user_id)

    def recheck(self, room: str, user_id: str = "") -> None:
        """Check the rights in a room again, and leave it if the connection may not be there.

        With `user_id`, it is known that the rights of that user may have changed.
        """
        subscription = self._subscriptions.get(room)
        if subscription is None or not self._is_here(room):
            self._drop_subscription(room)  # the hub has detached the connection
        elif user_id in ("", *self.identity.user_ids):
            subscription.is_recheck_due = True
            if user_id:
                subscription.topic.doubt([self.connection], _now())
            self._rechecks.start(room)

    @cached_property
    def _rechecks(self) -> Rechecks:
        return Rechecks(self.id, self._is_recheck_due, self._recheck, self._give_up)

    async def _read_access(self, decide: Decide, room: str) -> RoomAccess:
        """Read the access of this connection to a room; a refusal ends its subscription."""
        since = self._subscriptions[room].since if room in self._subscriptions else None
        request = access.AccessRequest(room, self.identity, self.address, since)
        result = await self.engine.db.load(decide, request)
        return self._accepted(room, result)

    def _accepted(self, room: str, result: access.AccessResult | None) -> RoomAccess:
        found = access.unknown(room) if result is None else result
        if (trace := self.connection.trace) is not None:
            trace.right(_answer(found), room=room)
        if isinstance(found, RoomAccess):
            return found
        if isinstance(found, CommandError) and room in self._subscriptions:
            self._remove(self._subscriptions[room], found)
        raise found

    def _is_here(self, room: str) -> bool:
        """Return whether the connection gets the events of a room."""
        subscription = self._subscriptions.get(room)
        return subscription is not None and self.id in subscription.topic.members

    def _remove(self, subscription: RoomSubscription, refusal: CommandError) -> None:
        """End the subscription to a room, and tell the client once."""
        room = subscription.access.slug
        self._drop_subscription(room)
        if not subscription.is_removed:
            subscription.is_removed = True
            self.reply(Removed.of(refusal, room, self.connection.translate))

    def _drop_subscription(self, room: str) -> None:
        """Drop the subscription to a room, if there is one."""
        if subscription := self._subscriptions.pop(room, None):
            subscription.cancel_recheck()
            self.connection.unsubscribe(subscription.topic)
            self.engine.presence.leave(self.connection, subscription.access.room_id)

    def _subscription(self, room: str) -> RoomSubscription:
        subscription = self._subscriptions.get(room)
        if subscription is not None and self._is_here(room):
            return subscription
        self._drop_subscription(room)  # the hub may have detached the connection
        raise CommandError(ErrorCode.NOT_JOINED, _("Join the room first."), room=room)

    async def _allowed(
        self, room: str, is_allowed: Callable[[RoomAccess], bool]
    ) -> RoomSubscription:
        """Return the subscription to a room if its access still holds and allows this.

        A brief connection needs no join: it is asked for the rights of one.
        """
        if self.connection.one_way is OneWay.BRIEF:
            subscription = await self._visit(room)
        else:
            subscription = self._subscription(room)
        if subscription.is_stale:
            await self._refresh_access(subscription)
        if not is_allowed(subscription.access):
            raise CommandError(ErrorCode.PERMISSION_DENIED, subscription.access.refusal, room=room)
        return subscription

    async def _visit(self, room: str) -> RoomSubscription:
        """Return the access to a room as a join would have it, without its events."""
        known = self._subscriptions.get(room)
        for _attempt in range(ATTEMPTS):
            if known is not None and known.access.rights_seq >= known.topic.rights_seq:
                self._subscriptions[room] = known
                return known
            entry = await self._read_access(access.enter_all, room)
            topic = await self.engine.hub.open_room(entry.room_id, entry.slug)
            known = RoomSubscription(entry, topic, timezone.now())
        raise CommandError(ErrorCode.UNAVAILABLE, CHANGING, retry_after=1)

    async def _refresh_access(self, subscription: RoomSubscription) -> None:
        known, before = subscription.topic.rights_seq, self._fields(subscription.access)
        asked_at = _now()
        subscription.is_recheck_due = False  # unless the rights change meanwhile
        try:
            entry = await self._read_access(access.all_rights, subscription.access.slug)
        except BaseException:
            subscription.is_recheck_due = True
            raise
        subscription.access = replace(entry, rights_seq=max(known, entry.rights_seq))
        subscription.topic.confirm(self.connection, asked_at)
        subscription.schedule_recheck(self.recheck)
        if (now := self._fields(subscription.access)) != before:
            self.reply(RoomState(room=entry.slug, **now))

    def _is_recheck_due(self, room: str) -> bool:
        subscription = self._subscriptions.get(room)
        if subscription is None or self.id not in subscription.topic.members:
            return False
        return subscription.is_recheck_due

    async def _recheck(self, room: str) -> None:
        await self._refresh_access(self._subscriptions[room])

    def _give_up(self, room: str, seconds: float) -> None:
        """End a subscription whose rights could not be read for long: it would get nothing more."""
        if seconds > UNDECIDED_SECONDS and (subscription := self._subscriptions.get(room)):
            refusal = CommandError(ErrorCode.UNAVAILABLE, UNDECIDED, retry_after=AGAIN_SECONDS)
            self._remove(subscription, refusal)

    async def _act(
        self,
        command: Any,
        act: Callable[..., object],
        is_allowed: Callable[..., bool] = lambda entry: True,
    ) -> Done:
        subscription = await self._allowed(command.room, is_allowed)
        note = await self.engine.db.write_blocking(act, command, subscription.access, self.identity)
        translated = None if note is None else self.connection.translate(note)
        return Done(room=command.room, note=translated)

    def _fields(self, entry: RoomAccess) -> dict[str, Any]:
        return room_fields(entry, self.connection.translate)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _answer(result: access.AccessResult) -> str:
    """Return what a trace tells of an access: the rights, or the code of the refusal."""
    if isinstance(result, RoomAccess):
        return ", ".join(("join", *result.rights))
    return str(result.code if isinstance(result, CommandError) else ErrorCode.INTERNAL)
