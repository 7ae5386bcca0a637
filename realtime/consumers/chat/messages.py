"""Commands to send and read messages, and to send typing and signals."""

import asyncio
from dataclasses import replace

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from ...conf import config
from ...engine.database.writer import Result
from ...engine.delivery.catchup import fit_frame
from ...hooks import Hooks, NewMessage, hooks
from ...screening import screen
from ...store.accounts.visitor import Visitor
from ...store.logs import MADE_NONCE, LogMark
from ...store.messages import history, slow_mode
from ...store.messages.drafts import Draft
from ...store.rooms import access, memberships
from ...wire.body import fields_of, stored_size
from ...wire.clean import MAX_INTEGER
from ...wire.commands import (
    History,
    Message,
    Presence,
    Read,
    Signal,
    Typing,
)
from ...wire.errors import CommandError, ErrorCode
from ...wire.events import (
    Ack,
    HistoryPage,
    MessageState,
    PresenceList,
    Resync,
    SignalEvent,
    TypingEvent,
)
from ..commands import command
from .joining import Joining
from .subscription import RoomSubscription

__all__ = ["Messages"]

ROW_BYTES = 200
"""The bytes that a stored message occupies besides its body."""


class Messages(Joining):
    """The commands to write and read in rooms."""

    def __init__(self) -> None:
        super().__init__()
        self._in_flight = 0
        self._slot_free = asyncio.Event()

    @command
    async def message(self, command: Message) -> None:
        """Store a message and send it to the room; the `ack` follows its commit."""
        subscription = await self._allowed(command.room, lambda entry: entry.may_post)
        _check(command)
        self._charge(command)
        if (rules := hooks()).checks_messages:
            await self._screen(rules, command, subscription)
        if subscription.access.is_request:  # a message to the stranger accepts the request
            await self.engine.db.write_blocking(
                memberships.answer_request, command.room, self.identity, True
            )
            subscription.access = replace(subscription.access, is_request=False)
        await self._until_fewer(config().messages_in_flight)
        draft = Draft.by(
            self.identity,
            subscription.access.room_id,
            nonce=command.nonce,
            slug=command.room,
            slow_seconds=subscription.access.slow_seconds,
            address=self.address,
            **fields_of(command),
        )
        self.engine.writer.submit(draft, lambda result: self._settle(command, result))
        self._in_flight += 1

    @command
    async def history(self, command: History) -> HistoryPage | Resync:
        """Send a page of messages or entries, or the changes after a position."""
        if command.room is None:
            return await super().history(command)
        subscription = await self._allowed(command.room, lambda entry: entry.may_read_history)
        if command.after is None:
            return await self._page(command, subscription)
        return await self._changes_after(command, subscription, command.after)

    @command
    async def typing(self, command: Typing) -> None:
        """Tell the room that the user is typing."""
        subscription = await self._allowed(command.room, lambda entry: entry.may_signal)
        if not subscription.may_send_typing(self.engine.loop.time()):
            return
        identity = self.identity
        event = TypingEvent(room=command.room, user_id=identity.user_id, username=identity.username)
        self._send_to_others(subscription, event)

    @command
    async def signal(self, command: Signal) -> None:
        """Send data to the room without storing it."""
        subscription = await self._allowed(command.room, lambda entry: entry.may_signal)
        identity = self.identity
        if seconds := subscription.access.slow_seconds:
            visitor = Visitor(identity, self.address)
            await self.engine.db.write_blocking(
                slow_mode.signal, subscription.access.room_id, visitor, seconds
            )
        event = SignalEvent(
            room=command.room,
            user_id=identity.user_id,
            username=identity.username,
            data=command.data,
        )
        self._send_to_others(subscription, event)

    def _send_to_others(
        self, subscription: RoomSubscription, event: TypingEvent | SignalEvent
    ) -> None:
        sender = self.connection.sender or self.id
        self.engine.hub.send_event(subscription.topic.name, event, exclude=sender)

    @command
    async def presence(self, command: Presence) -> PresenceList:
        """Send the list of users in a room, or of those who are subscribed to a topic."""
        if command.room is None:
            return await super().presence(command)
        subscription = await self._allowed(command.room, lambda entry: True)
        members, count = await self._present(subscription.access.room_id)
        return PresenceList(room=command.room, members=members, count=count)

    @command
    async def read(self, command: Read) -> None:
        """Store how far the user has read."""
        subscription = await self._allowed(command.room, lambda entry: True)
        if not self.identity.is_guest:
            await self.engine.db.pulse(
                access.mark_read, subscription.access.room_id, self.identity.user_pk, command.seq
            )

    async def until_replied(self) -> None:
        """Wait until each message has its `ack`, and each call its reply."""
        await super().until_replied()
        await self._until_fewer(1)

    async def _until_fewer(self, most: int) -> None:
        """Wait until fewer messages than that wait for their commit."""
        while self._in_flight >= most:
            self._slot_free.clear()
            await self._slot_free.wait()

    async def _screen(self, rules: Hooks, command: Message, subscription: RoomSubscription) -> None:
        """Have the site check a message, and change it."""
        access, identity = subscription.access, self.identity
        message = NewMessage(
            room=command.room,
            room_id=access.room_id,
            content=command.content,
            data=command.data,
            user_id=identity.user_id,
            username=identity.username,
            user=identity.user,
            address=self.address,
        )
        checked = await screen(rules, message, access.kind, self.engine.db)
        command.content, command.data = checked.content, checked.data
        _check(command)

    def _charge(self, command: Message) -> None:
        """Charge the bytes of a message to the allowance of stored bytes."""
        size = ROW_BYTES + stored_size(command)
        if wait := self.engine.limits.charge(self.connection, "stored", size):
            message = _("Your messages take too much space. Try again later.")
            raise CommandError(ErrorCode.RATE_LIMITED, message, retry_after=wait)

    def _settle(self, command: Message, result: Result) -> None:
        self._in_flight -= 1
        self._slot_free.set()
        if isinstance(result, CommandError):
            self.refuse(command, result)
        elif command.ref is not None or command.nonce is not None:
            state = result.state
            self.outbox.reply_soon(
                Ack(
                    room=command.room,
                    seq=state.seq,
                    id=state.id,
                    created_at=state.created_at,
                    nonce=command.nonce,
                    ref=command.ref,
                )
            )

    async def _page(self, command: History, subscription: RoomSubscription) -> HistoryPage:
        epoch = subscription.topic.position.epoch
        before = command.before if command.before is not None else MAX_INTEGER
        found, has_more = await self.engine.db.read_rows(
            history.page, subscription.access.room_id, before, command.limit
        )
        states = fit_frame(found)
        return HistoryPage(
            room=command.room,
            messages=states,
            epoch=epoch,
            has_more=has_more or len(states) < len(found),
        )

    async def _changes_after(
        self, command: History, subscription: RoomSubscription, after: int
    ) -> HistoryPage | Resync:
        changes = await self.engine.db.read_rows(
            history.since, subscription.access.room_id, after, command.limit
        )
        if not changes.mark.purged_seq <= after <= changes.through:
            return self._resync(subscription, changes.mark)
        changes = changes.cut(_oldest_fitting(changes.states))
        return HistoryPage(
            room=command.room,
            messages=changes.states,
            epoch=changes.mark.epoch,
            has_more=changes.has_more,
            through=changes.through,
        )

    def _resync(self, subscription: RoomSubscription, mark: LogMark) -> Resync:
        """Have the client join again: some events after its position were purged."""
        self._drop_subscription(subscription.access.slug)
        return Resync(room=subscription.access.slug, seq=mark.last_seq, epoch=mark.epoch)


def _check(command: Message) -> None:
    limit = config().content_characters
    if len(command.content) > limit:
        message = format_lazy(_("A message may have at most {number} characters."), number=limit)
        raise CommandError(ErrorCode.TOO_LARGE, message)
    if not command.content.strip() and not command.data:
        raise CommandError(ErrorCode.INVALID_MESSAGE, _("A message must not be empty."))
    if command.nonce is not None and command.nonce.startswith(MADE_NONCE):
        message = format_lazy(_("A nonce must not start with {start}."), start=repr(MADE_NONCE))
        raise CommandError(ErrorCode.INVALID_MESSAGE, message)


def _oldest_fitting(states: list[MessageState]) -> list[MessageState]:
    return list(reversed(fit_frame(list(reversed(states)))))
