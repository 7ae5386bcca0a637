"""Commands to join and leave rooms; the rights in joined rooms are kept up to date."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db import IntegrityError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ...conf import config
from ...engine.connections.rechecks import AGAIN_SECONDS, UNDECIDED_SECONDS, Rechecks
from ...engine.delivery.catchup import CaughtUp, attach
from ...engine.delivery.room_topic import RoomTopic
from ...store.rooms import access, memberships
from ...store.rooms.access import RoomAccess
from ...wire import events
from ...wire.commands import (
    Join,
    Joins,
    JoinTarget,
    Leave,
)
from ...wire.errors import CommandError, ErrorCode, refusal_of
from ...wire.events import (
    Done,
    Joined,
    Left,
    Removed,
    RoomState,
)
from ..base import unavailable
from ..commands import command, with_ref
from ..topics import Subscribing
from .steering import Move, Steering
from .subscription import RoomSubscription, room_fields

__all__ = ["Joining"]

ATTEMPTS = 3
"""How often a join is tried again because the rights have changed meanwhile."""
ENDED = _("You are not in this room any more. Join it again.")
LEAVE_FIRST = _("Leave your rooms first.")
TAKEN_OUT = _("The site has taken you out of this room. You may join it again.")
TOO_MANY_ROOMS = _("You are in too many rooms. Leave one first.")
UNDECIDED = _("The server cannot decide whether you may be in this room. Try again in a moment.")
CHANGING = _("The rights in this room are changing. Try again in a moment.")
Decide = Callable[[list[access.AccessRequest]], dict[access.AccessRequest, access.AccessResult]]


class Joining(Subscribing):
    """The commands to join and leave rooms, beside those of topics."""

    sends = (
        events.Joined,
        events.Left,
        events.MessageEvent,
        events.Changed,
        events.TypingEvent,
        events.PresenceList,
        events.RoomState,
        events.Removed,
        events.Invited,
        events.Resync,
    )

    def __init__(self) -> None:
        super().__init__()
        self._subscriptions: dict[str, RoomSubscription] = {}
        self._changes = 0
        self._steering = Steering(self._make_move, lambda: self.outbox.until_free())

    @command
    async def join(self, command: Join) -> Joined:
        """Enter a room, or refresh it."""
        return await self._join(command)

    @command
    async def joins(self, command: Joins) -> None:
        """Enter many rooms; each has a reply of its own."""
        changes, results = self._changes, await self._read_ahead(command.rooms)
        for target in command.rooms:
            if not await self.pace():
                return
            known = results.get(target.room) if changes == self._changes else None
            try:
                joined = await self.in_time(self._join(target, known))
                self.reply_paid(with_ref(joined, command), "join")
            except CommandError as error:
                self.connection.refuse(error, ref=command.ref, room=target.room)
            except IntegrityError as error:  # the user or the room was deleted meanwhile
                refusal = unavailable(self.id, error)
                self.connection.refuse(refusal, ref=command.ref, room=target.room)

    @command
    async def leave(self, command: Leave) -> Left:
        """Leave a room; with `for_good`, also end the membership."""
        subscription = self._subscription(command.room)
        if command.for_good and not self.identity.is_guest:
            await self.engine.db.write_blocking(
                memberships.leave, subscription.access.room_id, self.identity
            )
        self._drop_subscription(command.room)
        return Left(
            room=command.room, user_id=self.identity.user_id, username=self.identity.username
        )

    async def on_disconnect(self) -> None:
        """Stop the checks of access to rooms."""
        self._steering.stop()
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

    @property
    def is_moving(self) -> bool:
        """Whether a move of the site's code is not made yet."""
        return not self._steering.is_idle

    def on_room_move(self, room: str, joins: bool, reason: str) -> None:
        """Join or leave a room because the site's code says so."""
        self._steering.add(Move(room, joins, reason))

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

    async def _make_move(self, move: Move) -> None:
        """Send `joined` or `removed` to a client that was moved; nothing if it was there before."""
        is_here = move.room in self._subscriptions
        if move.joins and not is_here:
            self.reply_large(await self._join(Join(room=move.room)))
        elif is_here and not move.joins:
            text = move.reason or TAKEN_OUT
            refusal = CommandError(ErrorCode.NOT_JOINED, text)
            self._remove(self._subscriptions[move.room], refusal)

    async def _read_ahead(self, targets: list[JoinTarget]) -> dict[str, access.AccessResult]:
        """Read the access to many rooms in a few queries; after an error, each join does so."""
        free = config().rooms_per_connection - len(self._subscriptions)
        new = [one.room for one in targets if one.room not in self._subscriptions][: max(0, free)]
        known = [one.room for one in targets if one.room in self._subscriptions]
        requests = [
            access.AccessRequest(room, self.identity, self.address)
            for room in dict.fromkeys(known + new)
        ]
        try:
            found = await self.in_time(self.engine.db.read(access.enter_all, requests))
        except (CommandError, IntegrityError):
            return {}
        return {request.slug: result for request, result in found.items()}

    async def _join(
        self, target: Join | JoinTarget, known: access.AccessResult | None = None
    ) -> Joined:
        if (
            len(self._subscriptions) >= config().rooms_per_connection
            and target.room not in self._subscriptions
        ):
            raise CommandError(ErrorCode.LIMIT_EXCEEDED, TOO_MANY_ROOMS)
        engine = self.engine
        before = self._subscriptions.get(target.room) if self._is_here(target.room) else None
        try:
            entry, topic, caught = await self._enter(target, known)
        except BaseException as error:
            if before is not None and self.id not in before.topic.members:
                self._remove(before, refusal_of(error, ENDED))
            raise
        may_read = entry.may_read_history
        self._add_subscription(RoomSubscription(entry, topic, self._since(entry.slug)))
        engine.presence.join(self.connection, entry.room_id)
        members = topic.roster.members_and(self.identity.user_id, self.identity.username)
        return Joined(
            room=entry.slug,
            user_id=self.identity.user_id,
            username=self.identity.username,
            through=caught.through,
            epoch=topic.position.epoch,
            recovered=caught.recovered,
            messages=caught.states,
            has_more=caught.has_more and may_read,
            members=members,
            count=len(members) or topic.roster.count,
            **self._fields(entry),
        )

    async def _enter(
        self, target: Join | JoinTarget, known: access.AccessResult | None
    ) -> tuple[RoomAccess, RoomTopic, CaughtUp]:
        """Attach the connection to a room, with rights that have not changed meanwhile.

        The access that is `known` is not read again, as long as nothing has changed.
        """
        engine, is_resumed = self.engine, target.since is not None
        for _attempt in range(ATTEMPTS):
            changes = self._changes
            if known is None:
                entry = await self._read_access(access.enter_all, target.room)
            else:
                entry, known = self._accepted(target.room, known), None
            may_read = entry.may_read_history
            topic = await engine.hub.open_room(entry.room_id, entry.slug, is_resumed=is_resumed)
            caught = await attach(
                engine.hub,
                engine.db,
                topic,
                self.connection,
                since=target.since if may_read else None,
                limit=target.history if may_read else 0,
            )
            if entry.rights_seq >= topic.rights_seq and changes == self._changes:
                return entry, topic, caught
            self.connection.unsubscribe(topic)  # the rights have changed meanwhile
        raise CommandError(ErrorCode.UNAVAILABLE, CHANGING, retry_after=1)

    async def _read_access(self, decide: Decide, room: str) -> RoomAccess:
        """Read the access of this connection to a room; a refusal ends its subscription."""
        since = self._subscriptions[room].since if room in self._subscriptions else None
        request = access.AccessRequest(room, self.identity, self.address, since)
        result = await self.engine.db.load(decide, request)
        return self._accepted(room, result)

    def _accepted(self, room: str, result: access.AccessResult | None) -> RoomAccess:
        if isinstance(result, RoomAccess):
            return result
        refusal = result or access.unknown(room)
        if isinstance(refusal, CommandError) and room in self._subscriptions:
            self._remove(self._subscriptions[room], refusal)
        raise refusal

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

    def _since(self, room: str) -> datetime:
        """Return when this connection entered a room; joining again keeps the time."""
        subscription = self._subscriptions.get(room)
        return timezone.now() if subscription is None else subscription.since

    def _add_subscription(self, subscription: RoomSubscription) -> None:
        if before := self._subscriptions.get(subscription.access.slug):
            before.cancel_recheck()
        self._subscriptions[subscription.access.slug] = subscription
        subscription.topic.confirm(self.connection, _now())
        subscription.schedule_recheck(self.recheck)

    def _subscription(self, room: str) -> RoomSubscription:
        subscription = self._subscriptions.get(room)
        if subscription is not None and self._is_here(room):
            return subscription
        self._drop_subscription(room)  # the hub may have detached the connection
        raise CommandError(ErrorCode.NOT_JOINED, _("Join the room first."), room=room)

    async def _allowed(
        self, room: str, is_allowed: Callable[[RoomAccess], bool]
    ) -> RoomSubscription:
        """Return the subscription to a room if its access still holds and allows this."""
        subscription = self._subscription(room)
        if subscription.is_stale:
            await self._refresh_access(subscription)
        if not is_allowed(subscription.access):
            raise CommandError(ErrorCode.PERMISSION_DENIED, subscription.access.refusal, room=room)
        return subscription

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
