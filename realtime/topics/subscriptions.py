"""The topics that one connection is subscribed to; their rights are kept up to date.

An ended right ends the subscription: the client gets `removed`, and nothing after that.
"""

import asyncio
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from django.utils.translation import gettext_lazy as _

from ..conf import config
from ..engine.connections.connection import Connection
from ..engine.connections.one_way import OneWay
from ..engine.connections.phase import Phase
from ..engine.connections.rechecks import AGAIN_SECONDS, UNDECIDED_SECONDS, Rechecks
from ..engine.delivery.entry_catchup import EntryPage, attach_entries
from ..engine.delivery.entry_topic import EntryTopic
from ..engine.engine import Engine
from ..wire.commands import TopicSince
from ..wire.errors import CommandError, ErrorCode, refusal_of
from ..wire.events import Member, Removed
from .attendance import Attendance
from .permissions import Verdict, verdict_on
from .registry import registry
from .resuming import position_at
from .signatures import Signature
from .topic import Topic

__all__ = ["Subscriptions"]

ATTEMPTS = 3
"""How often a subscription is tried again because the rights have changed meanwhile."""
CHANGING = _("The rights in this topic are changing. Try again in a moment.")
UNDECIDED = _("The server cannot decide whether you may subscribe. Try again in a moment.")
ENDED = _("Your subscription to this topic has ended. Subscribe again.")
NOT_SUBSCRIBED = _("Subscribe to the topic first.")
HIDDEN = _("You may not see who is subscribed to this topic.")
TOO_MANY_TOPICS = _("You are subscribed to too many topics. Unsubscribe from one first.")


@dataclass(slots=True)
class Subscription:
    """A topic that a connection is subscribed to, with the verdict that allows it."""

    topic: EntryTopic
    verdict: Verdict
    signature: Signature | None = None
    """That of the client's page."""
    changes: int = 0
    """How often the rights may have changed since the connection was subscribed."""
    known_changes: int = 0
    """How many of these changes the verdict takes into account."""
    is_removed: bool = False
    """Whether the client has got a `removed` event."""

    @property
    def is_recheck_due(self) -> bool:
        """Whether the rights may have changed since the verdict."""
        return self.known_changes != self.changes

    @property
    def is_stale(self) -> bool:
        """Whether the verdict has to be renewed before it is used."""
        return self.is_recheck_due or self.verdict.rights != self.topic.rights


class Subscriptions:
    """The subscriptions of one connection by topic name, until it closes."""

    def __init__(
        self, engine: Engine, connection: Connection, *, tells_presence: bool = True
    ) -> None:
        self._engine = engine
        self._connection = connection
        self._attendance = Attendance(engine, connection, is_told=tells_presence)
        self._subscriptions: dict[str, Subscription] = {}
        self._entering: set[str] = set()
        self._rechecks = Rechecks(connection.id, self._is_recheck_due, self._recheck, self._give_up)
        self.changes = 0
        """Rises when all rights have to be checked again, as those of another user."""
        self._timer: asyncio.TimerHandle | None = None
        connection.acquire(self._close)

    def __len__(self) -> int:
        return len(self._subscriptions)

    async def enter(
        self,
        topic: Topic,
        *,
        since: TopicSince | datetime | None,
        history: int,
        known: Verdict | None = None,
    ) -> EntryPage:
        """Subscribe to a topic, with rights that have not changed meanwhile.

        The client gets what has changed `since` a position or moment, or else a snapshot.

        The verdict that is `known` is not asked for again, as long as nothing has changed. While
        there are more pages, the connection gets no events and is not subscribed.
        Raises `CommandError` to refuse. If that ends an earlier subscription, the client is told.
        """
        before = self._get(topic.name)
        try:
            with self._reserved(topic.name):
                return await self._enter(topic, since, history, known)
        except BaseException as error:
            if before is not None:
                self._tell_of_end(before, error)
            raise

    async def _enter(
        self,
        topic: Topic,
        since: TopicSince | datetime | None,
        history: int,
        known: Verdict | None,
    ) -> EntryPage:
        hub, db, signature = self._engine.hub, self._engine.db, topic.page_signature
        for _attempt in range(ATTEMPTS):
            changes = self.changes
            # Again each time: the user may have changed during the attempt before.
            topic = registry.resolve(topic.name, self._connection.identity)
            topic.carry(signature)
            verdict, known = known or await self.ask(topic), None
            self._enforce(topic.name, verdict)
            opened = await hub.open_topic(topic.name, shows_presence=topic.presence)
            if not await hub.confirm_rights(opened, verdict.rights):
                continue
            start = await self._position(topic, since)
            page = await attach_entries(
                hub, db, opened, self._connection, since=start, history=history
            )
            if changes == self.changes and opened.rights == verdict.rights:
                if page.has_more:
                    self.drop(topic.name)
                else:
                    self._add(topic.name, Subscription(opened, verdict, signature))
                return page
            self._connection.unsubscribe(opened)  # the rights have changed meanwhile
        raise CommandError(ErrorCode.UNAVAILABLE, CHANGING, retry_after=1)

    async def ask(self, topic: Topic) -> Verdict:
        """Return whether the user may subscribe, as the site's code says now."""
        verdict = await verdict_on(self._engine.db, topic)
        self._trace(topic, verdict)
        return verdict

    async def check(self, topic: Topic) -> None:
        """Raise `CommandError` unless the user may subscribe; a current verdict is remembered."""
        await self._verdict(topic)

    async def check_presence(self, topic: Topic) -> None:
        """Raise `CommandError` unless the user may see who is subscribed."""
        verdict = await self._verdict(topic)
        is_brief = self._connection.one_way is OneWay.BRIEF
        if self._get(topic.name) is None and not is_brief:
            raise CommandError(ErrorCode.NOT_JOINED, NOT_SUBSCRIBED)
        if not verdict.sees_presence:
            raise CommandError(ErrorCode.PERMISSION_DENIED, HIDDEN)

    def members_of(self, name: str) -> tuple[list[Member] | None, int | None]:
        """Return who is subscribed to a topic and how many; None if that is not to be seen."""
        subscription = self._get(name)
        if subscription is None:
            return None, None
        return self._attendance.members_of(subscription.topic)

    async def read_ahead(self, topics: list[Topic], verdicts: dict[str, Verdict]) -> None:
        """Ask about many topics, and note each verdict as it comes.

        So those that were quick are known also if another one takes too long. One that has failed
        has no verdict.
        """

        async def note(topic: Topic) -> None:
            verdicts[topic.name] = await self.ask(topic)

        asked = {topic.name: topic for topic in topics}
        await asyncio.gather(*map(note, asked.values()), return_exceptions=True)

    async def open_ahead(self, topics: Iterable[Topic]) -> None:
        """Open topics together, no more than the connection may be subscribed to.

        Opened one after the other, each would wait for the layer and the database.
        """
        free = max(0, config().topics_per_connection - len(self._subscriptions))
        hub = self._engine.hub
        opening = [
            hub.open_topic(topic.name, shows_presence=topic.presence)
            for topic in islice(topics, free)
        ]
        await asyncio.gather(*opening, return_exceptions=True)

    def drop(self, name: str) -> None:
        """End a subscription, if there is one."""
        if subscription := self._subscriptions.pop(name, None):
            self._attendance.leave(subscription.topic)
            self._connection.unsubscribe(subscription.topic)

    def recheck(self, name: str) -> None:
        """Check the rights in a topic again, and end the subscription if they have ended."""
        subscription = self._get(name)
        if subscription is None:
            return
        subscription.changes += 1
        self._rechecks.start(name)

    def recheck_all(self) -> None:
        """Check the rights in all topics again, and in the one that is being entered."""
        self.changes += 1
        for name, subscription in list(self._subscriptions.items()):
            subscription.topic.doubt([self._connection], _now())
            self.recheck(name)

    def _close(self, connection: Connection) -> None:
        """Stop the checks of rights."""
        self._rechecks.stop()
        if self._timer is not None:
            self._timer.cancel()

    def _get(self, name: str) -> Subscription | None:
        subscription = self._subscriptions.get(name)
        if subscription is not None and self._connection.id not in subscription.topic.members:
            self.drop(name)  # the hub has detached the connection
            return None
        return subscription

    def _add(self, name: str, subscription: Subscription) -> None:
        if self._connection.phase is Phase.CLOSED:
            return  # meanwhile: its topics have been detached
        before, topic = self._subscriptions.get(name), subscription.topic
        if before is not None and before.topic is not topic:  # it was closed meanwhile
            self._attendance.leave(before.topic)
        self._subscriptions[name] = subscription
        topic.confirm(self._connection)
        self._attendance.enter(topic, sees=subscription.verdict.sees_presence)
        if self._timer is None:
            self._recheck_later()

    @contextmanager
    def _reserved(self, name: str) -> Iterator[None]:
        """Count a topic that is being entered; raise `CommandError` if it is one too many."""
        entered = self._subscriptions.keys() | self._entering
        if name not in entered and len(entered) >= config().topics_per_connection:
            raise CommandError(ErrorCode.LIMIT_EXCEEDED, TOO_MANY_TOPICS)
        self._entering.add(name)
        try:
            yield
        finally:
            self._entering.discard(name)

    async def _position(
        self, topic: Topic, since: TopicSince | datetime | None
    ) -> TopicSince | None:
        if not isinstance(since, datetime):
            return since
        return await self._engine.db.read(position_at, topic.name, since, topic.keep)

    def _trace(self, topic: Topic, verdict: Verdict) -> None:
        if (trace := self._connection.trace) is not None:
            refusal = verdict.refusal
            trace.right("subscribe" if refusal is None else str(refusal.code), topic=topic.name)

    def _enforce(self, name: str, verdict: Verdict) -> None:
        """Raise the refusal of a verdict; it also ends a subscription."""
        if verdict.refusal is not None:
            self._remove(name, verdict.refusal)
            raise verdict.refusal

    def _tell_of_end(self, subscription: Subscription, error: BaseException) -> None:
        """Tell the client if a failed attempt to subscribe again has ended its subscription."""
        if self._connection.id not in subscription.topic.members:
            self._end(subscription, refusal_of(error, ENDED))

    def _remove(self, name: str, refusal: CommandError) -> None:
        if subscription := self._subscriptions.get(name):
            self._end(subscription, refusal)

    def _end(self, subscription: Subscription, refusal: CommandError) -> None:
        """End a subscription, and tell the client once."""
        name = subscription.topic.topic_name
        self.drop(name)
        if not subscription.is_removed:
            subscription.is_removed = True
            translate = self._connection.translate
            self._connection.reply(Removed.of(refusal, None, translate, topic=name))

    # The rights of subscriptions.

    def _recheck_later(self) -> None:
        """Schedule the next check of all rights, for sites that do not tell of their changes."""
        seconds = config().topic_recheck_seconds * random.uniform(0.5, 1)  # noqa: S311
        self._timer = asyncio.get_running_loop().call_later(seconds, self._recheck_old)

    def _recheck_old(self) -> None:
        for name in list(self._subscriptions):
            self.recheck(name)
        self._timer = None
        if self._subscriptions:
            self._recheck_later()

    async def _verdict(self, topic: Topic) -> Verdict:
        """Return the verdict on a topic, asked for anew if it is not current; raise a refusal."""
        subscription = self._get(topic.name)
        if subscription is None or subscription.is_stale:
            return await self._decide(topic, subscription)
        return subscription.verdict

    async def _decide(self, topic: Topic, subscription: Subscription | None) -> Verdict:
        """Ask about a topic, and apply the verdict to its subscription; raise a refusal."""
        changes, asked_at = 0, _now()
        if subscription is not None:
            changes = subscription.changes
            topic.carry(subscription.signature)
        verdict = await self.ask(topic)
        is_newest = (
            subscription is not None
            and subscription is self._subscriptions.get(topic.name)
            and changes >= subscription.known_changes
        )
        if verdict.refusal is not None:
            if is_newest:
                self._remove(topic.name, verdict.refusal)
            raise verdict.refusal
        if subscription is not None and is_newest:
            before, subscription.verdict = subscription.verdict, verdict
            subscription.known_changes = changes
            if verdict.sees_presence != before.sees_presence:
                self._attendance.change(subscription.topic, sees=verdict.sees_presence)
            subscription.topic.confirm(self._connection, asked_at)
        return verdict

    def _is_recheck_due(self, name: str) -> bool:
        subscription = self._get(name)
        return subscription is not None and subscription.is_recheck_due

    async def _recheck(self, name: str) -> None:
        try:
            topic = registry.resolve(name, self._connection.identity)
        except CommandError as refusal:
            self._remove(name, refusal)
            raise
        await self._decide(topic, self._subscriptions[name])

    def _give_up(self, name: str, seconds: float) -> None:
        """End a subscription whose rights could not be read for long."""
        if seconds > UNDECIDED_SECONDS:
            refusal = CommandError(ErrorCode.UNAVAILABLE, UNDECIDED, retry_after=AGAIN_SECONDS)
            self._remove(name, refusal)


def _now() -> float:
    return asyncio.get_running_loop().time()
