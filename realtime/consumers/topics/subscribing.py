"""Commands to subscribe to topics, to call their commands, and to read their entries."""

from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import ClassVar

from django.utils.translation import gettext_lazy as _
from msgspec import Struct

from ...conf import config
from ...engine.connections.one_way import OneWay
from ...engine.delivery.entry_catchup import fitting
from ...engine.delivery.roster import with_user
from ...store import presence
from ...store.presence import Place
from ...store.topics.entries import TopicLog
from ...topics.permissions import Verdict
from ...topics.registry import registry
from ...topics.signatures import read_signature
from ...topics.subscriptions import Subscriptions
from ...topics.topic import Topic
from ...wire.clean import MAX_INTEGER
from ...wire.commands import (
    Call,
    Command,
    History,
    Presence,
    Subscribe,
    Subscribes,
    SubscribeTarget,
    TopicSince,
    Unsubscribe,
)
from ...wire.costs import Cost
from ...wire.errors import CommandError, ErrorCode
from ...wire.events import (
    EntryEvent,
    HistoryPage,
    Joined,
    Left,
    Member,
    Outgoing,
    PresenceList,
    Removed,
    Result,
    Resync,
    Subscribed,
    Unsubscribed,
)
from ..base import Consumer
from ..commands import command, with_ref
from .calls import Calls

__all__ = ["Subscribing"]

OPENED_AHEAD = 20
"""The most topics of one command that are opened together.

If many clients subscribe to many topics at once, each opens a few at a time; else all of them would
wait for each other until their time is over.
"""
UNSUBSCRIBE_FIRST = _("Unsubscribe from your topics first.")
WAIT_FIRST = _("Wait for the replies to your calls first.")
NO_ROOMS = _("This address has no rooms. Name a topic.")


class Subscribing(Consumer):
    """The commands to subscribe to topics, to call their commands, and to read their entries."""

    sends: ClassVar[tuple[type[Outgoing], ...]] = (
        EntryEvent,
        Joined,
        Left,
        PresenceList,
        Removed,
        Resync,
        Result,
        Subscribed,
    )

    @command
    async def subscribe(self, command: Subscribe) -> Subscribed:
        """Subscribe to a topic, or continue from a position."""
        return await self._subscribe(command)

    @command
    async def subscribes(self, command: Subscribes) -> None:
        """Subscribe to many topics; each has a reply of its own."""
        changes, asked = self._topics.changes, await self._ask_ahead(command.topics)
        for number, target in enumerate(command.topics):
            if number % OPENED_AHEAD == 0:
                await self._open_ahead(command.topics[number : number + OPENED_AHEAD], asked)
            if not await self.pace():
                return
            is_current = target.topic in asked and changes == self._topics.changes
            known = asked[target.topic][1] if is_current else None
            try:
                subscribed = await self.in_time(self._subscribe(target, known))
                self.reply_paid(with_ref(subscribed, command), "subscribe")
            except CommandError as error:
                self.connection.refuse(error, ref=command.ref, topic=target.topic)

    @command
    async def unsubscribe(self, command: Unsubscribe) -> Unsubscribed:
        """End the subscription to a topic; without one, the reply is the same."""
        try:
            name = self._find(command.topic).name
        except CommandError:
            return Unsubscribed(topic=command.topic)
        self._topics.drop(name)
        return Unsubscribed(topic=name)

    @command
    async def call(self, command: Call) -> None:
        """Execute a command of a topic; the reply follows when its handler has ended."""
        await self._calls.add(command)

    @command
    async def history(self, command: History) -> HistoryPage | Resync:
        """Send a page of the entries of a topic, or the changes after a position."""
        if command.topic is None:
            raise CommandError(ErrorCode.INVALID_MESSAGE, NO_ROOMS, path="room")
        topic = self._find(command.topic)
        await self._topics.check(topic)
        if command.after is None:
            return await self._page_of(topic, command)
        return await self._changes_of(topic, command, command.after)

    @command
    async def presence(self, command: Presence) -> PresenceList:
        """Send the list of users who are subscribed to a topic."""
        if command.topic is None:
            raise CommandError(ErrorCode.INVALID_MESSAGE, NO_ROOMS, path="room")
        topic = self._find(command.topic)
        await self._topics.check_presence(topic)
        members, count = await self._present(topic.name)
        return PresenceList(topic=topic.name, members=members, count=count)

    async def until_replied(self) -> None:
        """Wait until each call has its reply."""
        await super().until_replied()
        if "_calls" in vars(self):
            await self._calls.until_replied()

    def charge_for(self, command: Command, cost: Cost) -> tuple[Struct, Cost]:
        """Charge a call what its handler says."""
        return self._calls.charge_for(command) if isinstance(command, Call) else (command, cost)

    def reason_against_auth(self) -> object:
        """Return a reason if a subscription or a call depends on the rights of the user."""
        if vars(self).get("_topics"):
            return UNSUBSCRIBE_FIRST
        return WAIT_FIRST if vars(self).get("_calls") else super().reason_against_auth()

    def on_rights_changed(self, room: str = "", user_id: str = "") -> None:
        """Check the rights in all topics again, if no room is named."""
        super().on_rights_changed(room, user_id)
        if not room and "_topics" in vars(self):
            self._topics.recheck_all()

    def on_topic_rights_changed(self, name: str) -> None:
        """Check the rights in a topic again."""
        self._topics.recheck(name)

    @cached_property
    def _topics(self) -> Subscriptions:
        """The subscriptions; most connections of a chat have none."""
        return Subscriptions(self.engine, self.connection)

    @cached_property
    def _calls(self) -> Calls:
        return Calls(self.engine, self.connection, self._topics, self.refuse)

    def _find(self, name: str) -> Topic:
        return registry.resolve(name, self.identity)

    async def _present(self, place: Place) -> tuple[list[Member], int]:
        """Return the users in a place where the client is, and their number."""
        members, count = await self.engine.db.read_rows(
            presence.members, place, config().presence_events_up_to
        )
        if self.connection.one_way is OneWay.BRIEF:  # the client is present nowhere
            return members, count
        return with_user(members, count, self.identity.user_id, self.identity.username)

    def _find_signed(self, target: Subscribe | SubscribeTarget) -> Topic:
        """Return the topic of a target, with the signature of its page if it has one."""
        topic = self._find(target.topic)
        at = None if target.since is None else target.since.at
        for text, path in ((target.signature, "signature"), (at, "since.at")):
            if text is not None:
                topic.carry(read_signature(text, topic.name, self.identity, path))
        return topic

    async def _subscribe(
        self, target: Subscribe | SubscribeTarget, known: Verdict | None = None
    ) -> Subscribed:
        topic = self._find_signed(target)
        page = await self._topics.enter(
            topic, since=_since(target, topic), history=target.history, known=known
        )
        members, count = self._topics.members_of(topic.name)
        return Subscribed(
            topic=topic.name,
            through=page.through,
            epoch=page.epoch,
            recovered=page.recovered,
            entries=page.states,
            has_more=page.has_more,
            until=page.until,
            rights=[] if members is None else ["presence"],
            members=members,
            count=count,
        )

    async def _ask_ahead(self, targets: list[SubscribeTarget]) -> dict[str, tuple[Topic, Verdict]]:
        """Ask about many topics at once; return them with their verdicts by the client's names."""
        topics: dict[str, Topic] = {}
        for target in targets:
            try:
                topics[target.topic] = self._find_signed(target)
            except CommandError:  # the reply to this target says so
                continue
        verdicts: dict[str, Verdict] = {}
        with suppress(CommandError):  # one takes too long; in its turn, it is asked again
            await self.in_time(self._topics.read_ahead(list(topics.values()), verdicts))
        return {
            name: (topic, verdicts[topic.name])
            for name, topic in topics.items()
            if topic.name in verdicts
        }

    async def _open_ahead(
        self, targets: list[SubscribeTarget], asked: dict[str, tuple[Topic, Verdict]]
    ) -> None:
        """Open the topics of some targets to which the user may subscribe."""
        found = [asked[target.topic] for target in targets if target.topic in asked]
        allowed = [topic for topic, verdict in found if verdict.refusal is None]
        with suppress(CommandError):  # one takes too long; in its turn, it is opened again
            await self.in_time(self._topics.open_ahead(allowed))

    async def _page_of(self, topic: Topic, command: History) -> HistoryPage:
        before = command.before if command.before is not None else MAX_INTEGER
        log = TopicLog(topic.name)
        mark = await self.engine.db.read(log.mark)
        found, has_more = await self.engine.db.read_rows(TopicLog.page, log, before, command.limit)
        states = fitting(found[::-1])[::-1]  # the newest
        return HistoryPage(
            topic=topic.name,
            entries=states,
            epoch=mark.epoch,
            has_more=has_more or len(states) < len(found),
        )

    async def _changes_of(self, topic: Topic, command: History, after: int) -> HistoryPage | Resync:
        log = TopicLog(topic.name)
        changes = await self.engine.db.read_rows(TopicLog.since, log, after, command.limit)
        if not changes.mark.purged_seq <= after <= changes.through:
            self._topics.drop(topic.name)
            mark = changes.mark
            return Resync(topic=topic.name, seq=mark.last_seq, epoch=mark.epoch)
        changes = changes.cut(fitting(changes.states))
        return HistoryPage(
            topic=topic.name,
            entries=changes.states,
            epoch=changes.mark.epoch,
            has_more=changes.has_more,
            through=changes.through,
        )


def _since(target: Subscribe | SubscribeTarget, topic: Topic) -> TopicSince | datetime | None:
    start, signature = target.since, topic.page_signature
    if start is not None and start.at is not None and signature is not None:
        return signature.since
    return None if start is None else start.position
