"""Slow mode: a minimum time between two messages of one sender in a room.

It is checked under the lock of the room's log, so that several connections do not evade it. The
address of a guest counts as a sender too, so that a new token does not evade it either.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import blake2s

from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ...models import Message, Voice
from ...wire.commands import MAX_SLOW_SECONDS
from ...wire.errors import CommandError, ErrorCode
from ..accounts.visitor import Visitor
from ..database.alias import database
from .drafts import Draft, Key
from .logs import lock_logs

__all__ = ["delete_old_voices", "note_addresses", "refused", "signal"]

Speaker = tuple[int, str]
"""A room and a sender in it: a `user_id`, or the `voice` of a `Voice`."""
ADDRESS, SIGNAL = "address ", "signal "
VOICE_CHARACTERS = 150


def refused(drafts: Sequence[Draft]) -> dict[Key, CommandError]:
    """Return the refusals of drafts that come too soon, by their keys; their logs are locked."""
    now = timezone.now()
    spoke = _last_spoken(drafts, now)
    found: dict[Key, CommandError] = {}
    for draft in drafts:
        voices = [(draft.room_id, one) for one in draft.senders]
        voices += [_address_of(draft)] if draft.address else []
        last = max((spoke[voice] for voice in voices if voice in spoke), default=None)
        ago = draft.slow_seconds if last is None else (now - last).total_seconds()
        if ago < draft.slow_seconds:
            # Another host's clock may be ahead: never wait longer than the slow mode of the room.
            found[draft.key] = _too_soon(draft.slow_seconds - max(0.0, ago))
        else:
            spoke |= dict.fromkeys(voices, now)
    return found


def note_addresses(drafts: Iterable[Draft]) -> None:
    """Note when the addresses of guests sent these messages."""
    _note({_address_of(one) for one in drafts if one.address})


def signal(room_id: int, visitor: Visitor, seconds: int) -> None:
    """Count a signal in a room in slow mode; raises `CommandError` with `rate_limited`.

    The time counts from the last message and the last signal of the sender and, for a guest, of all
    guests of the address. Signals do not delay messages.
    """
    identity, address = visitor.identity, visitor.address if visitor.identity.is_guest else ""
    own = [(room_id, one) for one in identity.user_ids]
    own += [(room_id, ADDRESS + address)] if address else []
    signals = {(room_id, _signal_of(voice)) for _, voice in own}
    now = timezone.now()
    with transaction.atomic(using=database()):
        lock_logs(database(), {room_id})
        since = now - timedelta(seconds=seconds)
        spoke = _messages_of({room_id}, {*identity.user_ids}, since) | _noted(
            {*own, *signals}, since
        )
        if spoke:
            raise _too_soon(seconds - max(0.0, (now - max(spoke.values())).total_seconds()))
        _note(signals)


def delete_old_voices() -> None:
    """Delete the rows that are older than the longest slow mode."""
    most = timezone.now() - timedelta(seconds=MAX_SLOW_SECONDS)
    Voice.objects.using(database()).filter(spoke_at__lt=most).delete()


def _last_spoken(drafts: Sequence[Draft], now: datetime) -> dict[Speaker, datetime]:
    if not drafts:
        return {}
    since = now - timedelta(seconds=max(draft.slow_seconds for draft in drafts))
    rooms = {draft.room_id for draft in drafts}
    senders = {one for draft in drafts for one in draft.senders}
    addresses = {_address_of(draft) for draft in drafts if draft.address}
    return _messages_of(rooms, senders, since) | _noted(addresses, since)


def _messages_of(rooms: set[int], senders: set[str], since: datetime) -> dict[Speaker, datetime]:
    rows = (
        Message.objects.using(database())
        .filter(room__in=rooms, sender__in=senders, created_at__gt=since)
        .order_by()
        .values_list("room_id", "sender")
        .annotate(last=Max("created_at"))
    )
    return {(room_id, sender): last for room_id, sender, last in rows}


def _noted(speakers: set[Speaker], since: datetime) -> dict[Speaker, datetime]:
    if not speakers:
        return {}
    rows = Voice.objects.using(database()).filter(
        room__in={room_id for room_id, _ in speakers},
        voice__in={voice for _, voice in speakers},
        spoke_at__gt=since,
    )
    return {(one.room_id, one.voice): one.spoke_at for one in rows}


def _note(speakers: set[Speaker]) -> None:
    now = timezone.now()
    Voice.objects.using(database()).bulk_create(
        [Voice(room_id=room, voice=voice, spoke_at=now) for room, voice in sorted(speakers)],
        update_conflicts=True,
        unique_fields=["room", "voice"],
        update_fields=["spoke_at"],
    )


def _signal_of(voice: str) -> str:
    """Return the voice of signals of a sender; a digest if the column is too short."""
    if len(SIGNAL + voice) <= VOICE_CHARACTERS:
        return SIGNAL + voice
    return SIGNAL + blake2s(voice.encode()).hexdigest()


def _address_of(draft: Draft) -> Speaker:
    return draft.room_id, ADDRESS + draft.address


def _too_soon(wait: float) -> CommandError:
    message = _("This room is in slow mode. Wait a little.")
    return CommandError(ErrorCode.RATE_LIMITED, message, retry_after=wait)
