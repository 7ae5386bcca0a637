"""Notify all server processes of a change, from any thread of any process of the site."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import groupby
from operator import attrgetter

from django.dispatch import receiver

from ..hooks import hooks
from ..logs import get_logger
from ..models import Room
from ..signals import (
    entries_pending,
    entries_stored,
    invited,
    messages_stored,
    moved,
    rights_changed,
    site_sanctions_changed,
    topic_rights_changed,
)
from ..spans import Origin
from ..store.accounts.identity import Identity
from ..store.database.transactions import awaited, on_commit
from ..store.messages.drafts import Stored
from ..store.messages.history import room_key
from ..store.outbox.sequencer import sequencer
from ..store.topics.drafts import StoredEntry
from ..store.topics.entries import topic_key
from ..wire.codecs import Frame
from ..wire.events import Invited, Outgoing
from .after import new_message, tell_now
from .bus.handover import Handover, is_in_a_loop
from .bus.joint import Joint
from .bus.notes import Broadcast, Cause, Note, Revalidate, RightsChanged, Transfer
from .bus.publisher import Addressed, publisher
from .delivery.entry_topic import entry_event
from .delivery.room_topic import room_event
from .engine import EVERYONE, Engine, user_topic

__all__ = [
    "hand_over_here",
    "hand_over_on_commit",
    "notify",
    "revalidate_all",
    "revalidate_user",
    "send_event",
]

logger = get_logger("realtime.notify")

ONLY_HERE = "The channel layer does not answer: only clients of this process were notified."


def notify(topic: str, note: Note) -> None:
    """Publish a note now; a process that misses it finds the change in the database later."""
    engine = Engine.running()
    if engine is None:
        _publish([(topic, note)])
    else:
        engine.call_soon(engine.hub.publish, topic, note)


def hand_over_on_commit(
    topic: str, notes: Sequence[Note], using: str | None, origin: Origin | None = None
) -> Handover:
    """Publish notes that are not stored after the commit; return their joint handover.

    `using` names another database whose transaction must commit as well.
    """
    handover = Handover()
    on_commit(lambda: handover.follow(_hand_over(topic, notes, origin)), *awaited(using))
    return handover


def hand_over_here(
    engine: Engine, topic: str, notes: Sequence[Note], origin: Origin | None = None
) -> Handover:
    """Publish notes that are not stored, from the event loop of an engine."""
    handover, joint = Handover(), Joint(len(notes))
    handover.follow(joint.result)
    for note in notes:
        engine.hub.publish(topic, note, partial(_settle, topic, joint), origin=origin)
    return handover


def _hand_over(topic: str, notes: Sequence[Note], origin: Origin | None) -> Future[str]:
    """Publish notes that are not stored; the future has the reason of a failure, or ''."""
    engine = Engine.running()
    if engine is None:
        what = "a push was not handed over"
        return _submit([(topic, note, origin) for note in notes], what, logging.WARNING)
    joint = Joint(len(notes))
    layer = engine.hub.layer
    if not layer.is_shared or is_in_a_loop():  # a loop cannot wait for itself
        joint.result.set_result(ONLY_HERE if layer.is_away else "")
    publish = partial(engine.hub.publish, origin=origin)
    for note in notes:
        engine.call_soon(publish, topic, note, partial(_settle, topic, joint))
    return joint.result


def _settle(topic: str, joint: Joint, is_sent: bool) -> None:
    if not is_sent:
        logger.warning("topic %s: %s", topic, ONLY_HERE)
    joint.settle("" if is_sent else ONLY_HERE)


def _publish(notes: Sequence[Addressed]) -> None:
    """Publish notes of what is stored, from a process without an engine."""
    level = logging.WARNING if publisher.is_shared else logging.DEBUG
    _submit(notes, "not published, but stored in the database", level)


def _submit(notes: Sequence[Addressed], what: str, level: int) -> Future[str]:
    # The thread that numbers would keep those waiting who publish.
    result = publisher.submit(notes, is_background=sequencer.is_own_thread)
    result.add_done_callback(partial(_log_failure, notes[0][0], what, level))
    return result


def _log_failure(topic: str, what: str, level: int, result: Future[str]) -> None:
    if reason := result.result():
        logger.log(level, "topic %s: %s: %s", topic, what, reason)


def send_event(topic: str, outgoing: Outgoing) -> None:
    """Send an event that is not stored to the members of a topic, after the commit."""
    note = Broadcast(Frame.of(outgoing).text, "")
    on_commit(lambda: notify(topic, note))


def revalidate_user(
    user_id: str, cause: Cause, which: str = "", *, alias: str | None = None
) -> None:
    """Have all processes revalidate a user's connections after the commit.

    `which` names the session or token where that is the cause.
    """
    note = Revalidate(cause.value, which)
    aliases = () if alias is None else (alias,)
    on_commit(lambda: notify(user_topic(user_id), note), *aliases)


def revalidate_all(cause: Cause, which: str = "") -> None:
    """Have all processes revalidate all connections after the commit."""
    note = Revalidate(cause.value, which)
    on_commit(lambda: notify(EVERYONE, note))


def _publish_message(stored: Stored) -> None:
    engine = Engine.running()
    if engine is not None:
        engine.call_soon(engine.hub.publish_message, stored)
        return
    event = room_event(stored.slug, stored.state)
    # A process that misses the note finds the message in the database within one pulse.
    _publish([(room_key(stored.room_id), event.note(stored.epoch), stored.origin)])


@receiver(rights_changed, dispatch_uid="realtime.notify.rights")
def _rights_changed(rooms: dict[int, int], user_id: str, **_: object) -> None:
    def notify_rooms() -> None:
        for room_id, seq in rooms.items():
            notify(room_key(room_id), RightsChanged(user_id, seq))

    on_commit(notify_rooms)


@receiver(site_sanctions_changed, dispatch_uid="realtime.notify.sanctions")
def _site_sanctions_changed(user_id: str, **_: object) -> None:
    revalidate_all(Cause.SITE)  # for connections that are being opened
    if user_id:
        revalidate_user(user_id, Cause.SANCTION)
    else:
        revalidate_all(Cause.SANCTION)


@receiver(messages_stored, dispatch_uid="realtime.notify.messages")
def _messages_stored(stored: list[Stored], **_: object) -> None:
    for one in stored:
        on_commit(partial(_publish_message, one))


@receiver(messages_stored, dispatch_uid="realtime.notify.hooks")
def _tell_hooks(stored: list[Stored], **_: object) -> None:
    if hooks().hears_messages:
        on_commit(partial(_tell_hooks_now, stored))


def _tell_hooks_now(stored: list[Stored]) -> None:
    engine = Engine.running()
    if engine is None:
        tell_now([one for one in map(new_message, stored) if one is not None])
        return
    for one in stored:
        engine.call_soon(engine.after.add, one)


@receiver(entries_stored, dispatch_uid="realtime.notify.entries")
def _entries_stored(stored: list[StoredEntry], **_: object) -> None:
    engine = Engine.running()
    if engine is not None:
        engine.call_soon(engine.hub.publish_entries, stored)
        return
    if notes := list(_notes_of(stored)):
        _publish(notes)


def _notes_of(stored: list[StoredEntry]) -> Iterator[Addressed]:
    """Yield the notes of entries topic by topic: the layer carries those of a topic together."""
    topic_of = attrgetter("topic")
    for topic, entries in groupby(sorted(stored, key=topic_of), topic_of):
        key = topic_key(topic)
        for one in entries:
            if one.state is not None:
                event = entry_event(topic, one.state, epoch=one.epoch)
                yield key, event.note(one.epoch), one.origin


@receiver(topic_rights_changed, dispatch_uid="realtime.notify.topic_rights")
def _topic_rights_changed(topics: dict[str, int], **_: object) -> None:
    for name, seq in topics.items():
        notify(topic_key(name), RightsChanged("", seq))


@receiver(entries_pending, dispatch_uid="realtime.notify.pending")
def _entries_pending(topics: frozenset[str], rooms: frozenset[int], **_: object) -> bool:
    """Have the writer of this process number them; return whether there is one."""
    engine = Engine.running()
    if engine is None or engine.is_stopping:
        return False
    if topics or rooms:
        engine.call_soon(engine.writer.number, topics, rooms)
    return True


@receiver(moved, dispatch_uid="realtime.notify.moved")
def _moved(users: list[str], room: str, to: str, reason: str, **_: object) -> None:
    def notify_users() -> None:
        for user in users:
            notify(user_topic(user), Transfer(room, to, reason, ""))

    on_commit(notify_users)


@receiver(invited, dispatch_uid="realtime.notify.invited")
def _invited(room: Room, user_id: str, by: Identity, is_request: bool, **_: object) -> None:
    event = Invited(
        room=room.slug,
        kind=room.kind,
        title=room.title,
        user_id=by.user_id,
        username=by.username,
        request=is_request,
    )
    send_event(user_topic(user_id), event)
