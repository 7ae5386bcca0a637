"""Read the logs of topics; `store/outbox/` writes them.

As for rooms, all reads use the primary database. A topic without a log is at position 0 of the
epoch "": only the first entry or change of rights makes its log.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2s
from typing import Any

from django.db import connections

from ...models import Entry, Log
from ...models.rooms import new_epoch
from ...wire.entries import NO_DATA, EntryState, data_of
from ...wire.events import timestamp
from ..database import life
from ..database.alias import database
from ..logs import MADE_NONCE, Changes, LogMark

__all__ = ["NO_LOG", "TopicLog", "marks", "state_of", "topic_key"]

NO_LOG = LogMark(0, 0, 0, "")
"""The mark of a topic without a log."""
MARKS_AT_ONCE = 5000
PAGE = 1000
FIELDS = ("type", "data", "changed_seq", "key", "is_deleted", "at", "nonce")
"""The columns that `state_of` takes, in its order."""

MARK = ("last_seq", "purged_seq", "rights_seq", "epoch")
FIND_MARKS = f"SELECT name, {', '.join(MARK)} FROM realtime_head WHERE name = ANY(%s)"  # noqa: S608

EntryFields = tuple[str, str, int, str | None, bool, datetime, str | None]


def topic_key(name: str) -> str:
    """Return the log key of a topic, which is also its name in the channel layer."""
    return f"topic.{blake2s(name.encode(), digest_size=16).hexdigest()}"


def state_of(
    name: str, data: str, seq: int, key: str | None, deleted: bool, at: datetime, nonce: str | None
) -> EntryState:
    """Return the state of an entry that clients get; a deleted one has no data."""
    return EntryState(
        name=name,
        data=NO_DATA if deleted else data_of(data),
        seq=seq,
        key=key,
        deleted=deleted,
        at=timestamp(at),
        nonce=None if nonce is None or nonce.startswith(MADE_NONCE) else nonce,
    )


@dataclass(frozen=True, slots=True)
class TopicLog:
    """The log of a topic; its methods run queries."""

    name: str

    @property
    def key(self) -> str:
        """The log key."""
        return topic_key(self.name)

    def mark(self) -> LogMark:
        """Return the end of the log; `NO_LOG` if there is none."""
        return self._end()[1]

    @staticmethod
    def marks(logs: Iterable["TopicLog"]) -> dict[str, LogMark]:
        """Return the ends of logs by log key; `NO_LOG` for topics without one."""
        return {topic_key(name): mark for name, mark in marks(one.name for one in logs).items()}

    def since(self, position: int, limit: int, until: int = 0) -> Changes[EntryState]:
        """Return the entries that have changed after `position`, oldest change first.

        Up to `until` only those with a key. The end of the log is read before the rows: an entry
        committed between the two is among the rows or beyond the returned `through`. `purged_seq`
        is read after them, so that it covers rows that are missing. If the log has begun anew or
        was deleted meanwhile, it is read again.
        """
        log_id, end = self._end()
        rows: list[EntryFields] = []
        if position < until:
            keyed = _keyed(log_id, changed_seq__gt=position, changed_seq__lte=until)
            rows += keyed.order_by("changed_seq")[: limit + 1]
        if len(rows) <= limit:
            newer = _rows(log_id, changed_seq__gt=max(position, until)).order_by("changed_seq")
            rows += newer[: limit + 1 - len(rows)]
        states = [state_of(*row) for row in rows[:limit]]
        later = self.mark()
        if later.epoch != end.epoch:
            return self.since(position, limit, until)
        end = end._replace(purged_seq=later.purged_seq)
        return _changes(states, position, end, has_more=len(rows) > limit)

    def start(self, limit: int, events: int) -> Changes[EntryState]:
        """Return the first `limit` living keys in the order of their change, and the last `events`.

        If there are more keys, `through` is the position of the last one, and `since` returns the
        rest, with the end of `mark` as `until`.
        """
        log_id, end = self._end()
        living = _keyed(log_id, changed_seq__lte=end.last_seq, is_deleted=False)
        keys = list(living.order_by("changed_seq")[: limit + 1])
        has_more = len(keys) > limit
        states = [state_of(*row) for row in keys[:limit]]
        through = sum(state.position for state in states[-1:]) if has_more else end.last_seq
        states += self._events(log_id, end.last_seq + 1, events)
        states.sort(key=_position)
        return Changes(states, through, end, has_more)

    def newest(self, limit: int) -> Changes[EntryState]:
        """Return the last `limit` changes, which a process caches when it opens a topic."""
        log_id, end = self._end()
        changed = _rows(log_id, changed_seq__lte=end.last_seq).order_by("-changed_seq")
        states = [state_of(*row) for row in changed[:limit]][::-1]
        return Changes(states, end.last_seq, end, len(states) == limit)

    def older(self, position: int, limit: int) -> Changes[EntryState]:
        """Return the last `limit` changes up to `position`, oldest first.

        The mark is read after the rows, so that its `purged_seq` covers rows that are missing.
        """
        changed = _rows(self._id, changed_seq__lte=position).order_by("-changed_seq")
        rows = list(changed[: limit + 1])
        states = [state_of(*row) for row in rows[:limit]][::-1]
        return Changes(states, position, self.mark(), len(rows) > limit)

    def page(self, before: int, limit: int) -> tuple[list[EntryState], bool]:
        """Return the last `limit` events with a position below `before`, and if there are more."""
        states = self._events(self._id, before, limit + 1)
        return states[-limit:] if limit else [], len(states) > limit

    def position_at(self, moment: datetime) -> int:
        """Return the last position that was numbered before a moment; 0 if it is not known."""
        found = _only(self._log().values_list("last_seq", "last_at"))
        if found is None:
            return 0
        last_seq, last_at = found
        if last_at is not None and last_at < moment:
            return int(last_seq)
        earlier = _rows(self._id, at__lt=moment).order_by("-changed_seq").first()
        return 0 if earlier is None else int(earlier[2])

    def value(self, key: str) -> EntryState | None:
        """Return the value of a key, or None."""
        row = _only(_rows(self._id, key=key, is_deleted=False))
        return None if row is None else state_of(*row)

    def values(self) -> Iterator[EntryState]:
        """Yield the living values in the order of their last change, a page at a time.

        A value that changes meanwhile may come again.
        """
        position, has_more = 0, True
        while has_more:
            living = _keyed(self._id, is_deleted=False, changed_seq__gt=position)
            rows = list(living.order_by("changed_seq")[:PAGE])
            for row in rows:
                yield state_of(*row)
            has_more = len(rows) == PAGE
            position = rows[-1][2] if rows else position

    def renew_epoch(self, known: str) -> None:
        """Begin a new epoch of a log that ends before published positions; at most once."""
        now = life.current(database())
        self._log().filter(epoch=known).update(epoch=new_epoch(), life=now)

    def _log(self) -> Any:
        return Log.objects.using(database()).filter(name=self.name)

    def _end(self) -> tuple[int, LogMark]:
        """Return the primary key of the log, or 0, and its end."""
        row = _only(self._log().values_list("pk", *MARK))
        return (0, NO_LOG) if row is None else (row[0], LogMark(*row[1:]))

    @property
    def _id(self) -> Any:
        """The primary key of the log as a subquery, which PostgreSQL evaluates once."""
        return self._log().values("pk")[:1]

    @staticmethod
    def _events(log_id: Any, before: int, limit: int) -> list[EntryState]:
        events = _rows(log_id, key__isnull=True, seq__lt=before).order_by("-seq")
        return [state_of(*row) for row in events[:limit]][::-1]


def marks(names: Iterable[str]) -> dict[str, LogMark]:
    """Return the ends of the logs of topics; `NO_LOG` for topics without one."""
    wanted = list(names)
    found = dict.fromkeys(wanted, NO_LOG)
    for start in range(0, len(wanted), MARKS_AT_ONCE):
        rows = _mark_rows(database(), wanted[start : start + MARKS_AT_ONCE])
        found.update((row[0], LogMark(*row[1:])) for row in rows)
    return found


def _mark_rows(alias: str, names: list[str]) -> Any:
    if connections[alias].vendor != "postgresql":
        return Log.objects.using(alias).filter(name__in=names).values_list("name", *MARK)
    # One parameter: with 5,000 of them, most of the time goes into the text of the query.
    with connections[alias].cursor() as cursor:
        cursor.execute(FIND_MARKS, [names])
        return cursor.fetchall()


def _only(rows: Any) -> Any:
    """Return the only row, or None; `first` would sort."""
    return next(iter(rows[:1]), None)


def _rows(log_id: Any, **conditions: Any) -> Any:
    return Entry.objects.using(database()).filter(log=log_id, **conditions).values_list(*FIELDS)


def _keyed(log_id: Any, **conditions: Any) -> Any:
    return _rows(log_id, key__isnull=False, **conditions)


def _changes(
    states: list[EntryState], position: int, end: LogMark, *, has_more: bool
) -> Changes[EntryState]:
    if has_more:
        through = states[-1].position if states else position
    else:
        through = max([end.last_seq, *(state.position for state in states[-1:])])
    return Changes(states, through, end, has_more)


def _position(state: EntryState) -> int:
    return state.position
