"""Give entries of topics their positions; the only place that does.

Numbering moves pending entries into the logs after their commit, in a transaction of its own, under
the locks of the logs. It knows no topic classes: in a rolling deploy, an old process numbers what a
new one has published. Whatever numbers a log first numbers all that is pending there.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from functools import partial

from django.db import transaction

from ...counts import counts
from ...signals import entries_stored, topic_rights_changed
from ..database import life
from ..database.alias import database
from ..database.transactions import LOCK_MS, can_join_statements, own_settings
from ..topics import rows
from ..topics.drafts import EntryDraft, StoredEntry
from ..topics.logs import LockedTopicLog, locked
from ..topics.plan import Outcome, Plan, batches
from .origins import Tracked
from .pending_messages import BacklogError

__all__ = ["append", "number"]

TOPICS_AT_ONCE = 500
"""The most logs that a transaction of numbering locks."""


def number(names: Iterable[str], *, lock_ms: int = LOCK_MS, skip_locked: bool = False) -> int:
    """Number everything that is pending in topics; return how many rows there were.

    A transaction numbers at most `rows.BATCH` of them. With `skip_locked`, topics that another
    transaction has locked are left to a later call. Raises what the database raises.
    """
    wanted, count = sorted(set(names)), 0
    for start in range(0, len(wanted), TOPICS_AT_ONCE):
        has_more = True
        while has_more:
            moved = _number(wanted[start : start + TOPICS_AT_ONCE], lock_ms, skip_locked)
            count += len(moved)
            has_more = rows.is_full(moved)
    return count


def append(
    drafts: Sequence[EntryDraft],
    *,
    lock_ms: int = LOCK_MS,
    also: Collection[str] = (),
    announces: bool = False,
    bounded: bool = False,
) -> list[Outcome]:
    """Append drafts, after all that is pending in their topics; return the result of each.

    They are one transaction, or a part of the caller's. It numbers what is pending in the topics
    `also` too. Signals are sent after its commit: for the drafts only with `announces`, else the
    caller announces them. If more is pending than one transaction should number, it is numbered
    before, or with `bounded` a `BacklogError` is raised. Raises what the database raises; then no
    draft is stored.
    """
    own = {draft.topic for draft in drafts}
    while True:
        try:
            return _append(drafts, own, own.union(also), lock_ms, announces)
        except BacklogError:
            if bounded:
                raise
            number(own.union(also), lock_ms=lock_ms)


def _append(
    drafts: Sequence[EntryDraft], own: set[str], names: set[str], lock_ms: int, announces: bool
) -> list[Outcome]:
    alias = database()

    def missing(absent: set[str]) -> set[str]:
        return absent & own | rows.topics_without_log(alias, absent - own)

    with locked(alias, names, lock_ms, missing) as logs:
        now, pending = rows.take(alias, logs)
        if rows.is_full(pending):
            raise BacklogError("much is pending in a topic")
        _store(alias, logs, pending, now, announces=True)
        counts.number(len(pending))
        return _store(alias, logs, drafts, now, announces=announces)


def _number(names: Collection[str], lock_ms: int, skip_locked: bool) -> list[EntryDraft]:
    alias = database()
    if not skip_locked and can_join_statements(alias) and life.is_known(alias):
        pending = _number_at_once(alias, names, lock_ms)
        if pending is not None:
            return pending
    without_log = partial(rows.topics_without_log, alias)
    with locked(alias, names, lock_ms, without_log, skip_locked=skip_locked) as logs:
        now, pending = rows.take(alias, logs)
        _store_pending(alias, logs, pending, now)
    return pending


def _number_at_once(alias: str, names: Collection[str], lock_ms: int) -> list[EntryDraft] | None:
    """Number as `_number` does, with fewer ways to the server; None if a log may have to be made.

    Each way back is a wait for the other threads of the process.
    """
    settings = own_settings(alias, lock_ms)
    with transaction.atomic(using=alias):
        logs, now, pending = rows.lock_and_take(alias, names, settings)
        if logs.keys() != set(names):
            transaction.set_rollback(True, using=alias)
            return None
        _store_pending(alias, logs, pending, now)
    return pending


def _store_pending(
    alias: str, logs: dict[str, LockedTopicLog], pending: list[EntryDraft], now: datetime
) -> None:
    _store(alias, logs, pending, now, announces=True)
    if not pending:
        # Another process has numbered it meanwhile. A commit of the locks would wait for the
        # disk while others wait for the logs.
        transaction.set_rollback(True, using=alias)


def _store(
    alias: str,
    logs: dict[str, LockedTopicLog],
    drafts: Sequence[EntryDraft],
    now: datetime,
    *,
    announces: bool,
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    tracked = Tracked(drafts)
    for batch in batches(drafts):
        plan = Plan(logs, *rows.find(alias, logs, batch), now)
        outcomes += plan.make(batch)
        rows.write(alias, plan)
        if plan.rights:
            _after_commit(
                alias, partial(topic_rights_changed.send_robust, None, topics=plan.rights)
            )
    if announces and any(isinstance(one, StoredEntry) and one.is_new for one in outcomes):
        send = partial(entries_stored.send_robust, None)
        _after_commit(alias, tracked.announce(send, outcomes, _name_of(logs)))
    return outcomes


def _name_of(logs: dict[str, LockedTopicLog]) -> str:
    """Return the name of the topic, or nothing for several."""
    return next(iter(logs)) if len(logs) == 1 else ""


def _after_commit(alias: str, action: Callable[[], object]) -> None:
    transaction.on_commit(action, using=alias, robust=True)
