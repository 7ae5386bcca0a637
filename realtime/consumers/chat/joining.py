"""Commands to join and leave rooms, and the moves that the site's code makes."""

from datetime import datetime

from django.db import IntegrityError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ...conf import config
from ...engine.bus.notes import RoomMove, Transfer
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
    Joined,
    Left,
)
from ..base import unavailable
from ..commands import command, with_ref
from .joined_rooms import ATTEMPTS, CHANGING, JoinedRooms
from .steering import Move, Steering
from .subscription import RoomSubscription

__all__ = ["Joining"]

ENDED = _("You are not in this room any more. Join it again.")
MOVED = _("A moderator has moved you to another room.")
TAKEN_OUT = _("The site has taken you out of this room. You may join it again.")
TOO_MANY_ROOMS = _("You are in too many rooms. Leave one first.")


class Joining(JoinedRooms):
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
        self._steering = Steering(self._make, lambda: self.outbox.until_free())

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
        """Stop the moves, and the checks of access to rooms."""
        self._steering.stop()
        await super().on_disconnect()

    @property
    def is_moving(self) -> bool:
        """Whether a move of the site's code is not made yet."""
        return not self._steering.is_idle

    def on_room_move(self, move: RoomMove | Transfer) -> None:
        """Join or leave rooms because the site's code says so."""
        self._steering.add(Move(move, move.room in self._subscriptions))

    async def _make(self, move: Move) -> None:
        match move.note:
            case RoomMove() as note:
                await self._make_move(note)
            case Transfer() as note if move.was_here or note.room in self._subscriptions:
                await self._make_transfer(note)

    async def _make_transfer(self, move: Transfer) -> None:
        """Send `removed` and `joined` to a client; one that may not join stays where it is."""
        known = None
        if move.to not in self._subscriptions:
            known = await self._read_access(access.enter_all, move.to)
        if here := self._subscriptions.get(move.room):
            self._remove(here, CommandError(ErrorCode.NOT_JOINED, move.reason or MOVED))
        if known is not None:
            self.reply_large(await self._join(Join(room=move.to), known))
        self._steering.forget(move.room)

    async def _make_move(self, move: RoomMove) -> None:
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

    def _since(self, room: str) -> datetime:
        """Return when this connection entered a room; joining again keeps the time."""
        subscription = self._subscriptions.get(room)
        return timezone.now() if subscription is None else subscription.since

    def _add_subscription(self, subscription: RoomSubscription) -> None:
        if before := self._subscriptions.get(subscription.access.slug):
            before.cancel_recheck()
        self._subscriptions[subscription.access.slug] = subscription
        subscription.topic.confirm(self.connection)
        subscription.schedule_recheck(self.recheck)
