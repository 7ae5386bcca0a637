"""Decide what a batch of drafts changes in the locked logs of topics, without a query.

Several changes of a key take one position, that of the last one, which wins.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from django.utils.translation import gettext_lazy as _

from ...wire.errors import CommandError, ErrorCode
from .drafts import EntryDraft, Kind, StoredEntry
from .entries import state_of
from .logs import LockedTopicLog

__all__ = ["EntryRow", "Held", "Outcome", "Plan", "batches"]

Outcome = StoredEntry | CommandError
NameInLog = tuple[int, str]
"""A log, and a key or a nonce in it."""


class Held(NamedTuple):
    """An entry that is stored already."""

    pk: int
    type: str
    data: str
    changed_seq: int
    key: str | None
    is_deleted: bool
    at: datetime
    nonce: str | None
    expires_at: datetime | None

    def equals(self, draft: EntryDraft) -> bool:
        """Return whether a draft would leave this value as it is."""
        if self.type != draft.type:
            return False
        return self.data == draft.data or _sorted(self.data) == _sorted(draft.data)

    def is_over(self, now: datetime) -> bool:
        """Return whether the time of this value is over."""
        return self.expires_at is not None and self.expires_at <= now

    def told(self, log: LockedTopicLog) -> StoredEntry:
        """Return the result of a draft that has changed nothing."""
        state = state_of(*self[1:8])
        return StoredEntry(log.name, state, log.epoch, is_new=False)


class EntryRow(msgspec.Struct, kw_only=True):
    """An entry to write: a new one, or the next value of a key."""

    log_id: int
    seq: int
    type: str
    key: str | None
    data: str
    sender: str
    nonce: str | None
    at: datetime
    created_at: datetime
    expires_at: datetime | None
    is_deleted: bool


def batches(drafts: Sequence[EntryDraft]) -> list[list[EntryDraft]]:
    """Split drafts so that no batch has a condition on a key beside another change of that key."""
    found: list[list[EntryDraft]] = []
    conditions: dict[tuple[str, str | None], bool] = {}
    for draft in drafts:
        place = (draft.topic, draft.key)
        is_changed = draft.key is not None and place in conditions
        if not found or (is_changed and (draft.is_conditional or conditions[place])):
            found.append([])
            conditions = {}
        found[-1].append(draft)
        conditions[place] = draft.is_conditional
    return found


@dataclass
class Plan:
    """What one batch changes in locked logs, which it moves.

    `held` has the entries with the keys of the batch, `known` those with its nonces.
    """

    logs: dict[str, LockedTopicLog]
    held: dict[NameInLog, Held]
    known: dict[NameInLog, Held]
    now: datetime
    rows: list[EntryRow] = field(default_factory=list)
    prolonged: dict[int, datetime] = field(default_factory=dict)
    """The new `expires_at` of values that stay, by primary key."""
    rights: dict[str, int] = field(default_factory=dict)
    """The new `rights_seq` of topics."""
    changed: set[int] = field(default_factory=set)
    """The primary keys of the logs that have moved."""

    def make(self, drafts: Sequence[EntryDraft]) -> list[Outcome]:
        """Decide on drafts in their order; return the result of each."""
        self._note_first_tries(drafts)
        leaders = self._leaders(drafts)
        made = {
            number: self._decide(draft, self.logs[draft.topic])
            for number, draft in enumerate(drafts)
            if leaders[number] == number
        }
        return [
            made[number] if number in made else _shared(made, leaders, number) for number in leaders
        ]

    def _note_first_tries(self, drafts: Sequence[EntryDraft]) -> None:
        for draft in drafts:
            if draft.first_try is not None and not draft.first_try.epoch:
                log = self.logs[draft.topic]
                draft.first_try.epoch, draft.first_try.seq = log.epoch, log.last_seq

    def _leaders(self, drafts: Sequence[EntryDraft]) -> dict[int, int]:
        """Return for each draft the one that decides its result.

        This is the first one with its nonce, or the last one with its key.
        """
        leaders: dict[int, int] = {}
        nonces: dict[NameInLog, int] = {}
        keys: dict[NameInLog, int] = {}
        for number, draft in enumerate(drafts):
            nonce = self._place(draft, draft.nonce)
            leaders[number] = number if nonce is None else nonces.setdefault(nonce, number)
            key = self._place(draft, draft.key)
            if key is not None and leaders[number] == number and nonce not in self.known:
                if key in keys:
                    leaders[keys[key]] = number
                keys[key] = number
        return leaders

    def _place(self, draft: EntryDraft, name: str | None) -> NameInLog | None:
        return None if name is None else (self.logs[draft.topic].id, name)

    def _decide(self, draft: EntryDraft, log: LockedTopicLog) -> Outcome:
        nonce = self._place(draft, draft.nonce)
        if nonce is not None and nonce in self.known:
            return self.known[nonce].told(log)
        if draft.kind == Kind.RIGHTS:
            return self._change_rights(log)
        if draft.key is None:
            return self._add(draft, log)
        held = self.held.get((log.id, draft.key))
        if held is not None and not draft.is_conditional and _is_outdated(draft, held, log):
            return held.told(log)
        if held is not None and held.is_deleted:
            held = None
        if draft.if_seq is not None and draft.if_seq != (held.changed_seq if held else 0):
            return _conflict(held, log)
        if draft.kind == Kind.SET:
            return self._set(draft, log, held)
        return self._delete(draft, log, held)

    def _set(self, draft: EntryDraft, log: LockedTopicLog, held: Held | None) -> Outcome:
        if held is None or draft.expires_seconds is None or not held.equals(draft):
            return self._add(draft, log)
        self.prolonged[held.pk] = self._now(log) + timedelta(seconds=draft.expires_seconds)
        return held.told(log)

    def _delete(self, draft: EntryDraft, log: LockedTopicLog, held: Held | None) -> Outcome:
        if held is None and draft.type:
            return self._add(draft, log, deletes=draft.type)
        if held is None:
            return StoredEntry(log.name, None, log.epoch, is_new=False)
        if draft.kind == Kind.EXPIRE and not held.is_over(self._now(log)):
            return held.told(log)
        return self._add(draft, log, deletes=held.type)

    def _change_rights(self, log: LockedTopicLog) -> Outcome:
        log.rights_seq += 1
        log.last_at = self._now(log)
        self.rights[log.name] = log.rights_seq
        self.changed.add(log.id)
        return StoredEntry(log.name, None, log.epoch, is_new=False)

    def _add(self, draft: EntryDraft, log: LockedTopicLog, *, deletes: str = "") -> StoredEntry:
        """Add the row of a draft, or the tombstone of a deleted value of this name."""
        log.last_seq += 1
        log.last_at = at = self._now(log)
        self.changed.add(log.id)
        seconds = None if deletes else draft.expires_seconds
        row = EntryRow(
            log_id=log.id,
            seq=log.last_seq,
            type=deletes or draft.type,
            key=draft.key,
            data="" if deletes else draft.data,
            sender=draft.sender,
            nonce=draft.nonce,
            at=at,
            created_at=draft.created_at or at,
            expires_at=None if seconds is None else at + timedelta(seconds=seconds),
            is_deleted=deletes != "",
        )
        self.rows.append(row)
        state = state_of(row.type, row.data, row.seq, row.key, row.is_deleted, at, row.nonce)
        return StoredEntry(log.name, state, log.epoch, is_new=True)

    def _now(self, log: LockedTopicLog) -> datetime:
        """Return the time, which never decreases in a log."""
        return self.now if log.last_at is None else max(self.now, log.last_at)


def _is_outdated(draft: EntryDraft, held: Held, log: LockedTopicLog) -> bool:
    """Return whether the key has changed since the first try of a draft.

    That try may have been committed, and the row of the key has only its last nonce. To apply it
    again would bring an older value back.
    """
    tried = draft.first_try
    return tried is not None and tried.epoch == log.epoch and held.changed_seq > tried.seq


def _sorted(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True)


def _shared(made: dict[int, Outcome], leaders: dict[int, int], number: int) -> Outcome:
    while number not in made:
        number = leaders[number]
    outcome = made[number]
    return outcome._replace(is_new=False) if isinstance(outcome, StoredEntry) else outcome


def _conflict(held: Held | None, log: LockedTopicLog) -> CommandError:
    message = _("The value has changed meanwhile. Read it again, and repeat the change.")
    return CommandError(ErrorCode.CONFLICT, message, topic=log.name)
