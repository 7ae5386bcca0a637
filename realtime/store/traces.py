"""The traces: which users and connections are traced now, and who does so.

A trace is on until `ends_at` by the clock of the database, while the user who has started it has
the permission.
"""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db.models import DurationField, ExpressionWrapper, F, Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from ..models import Connection, Node, Trace
from ..wire.errors import CommandError, ErrorCode
from .accounts.identity import GUEST
from .accounts.users import (
    any_user,
    canonical,
    is_staff_with,
    pk_of,
    unknown_user,
    users_by,
    users_by_pk,
)
from .database.alias import database
from .presence import IS_ALIVE

__all__ = [
    "MOST",
    "PERMISSION",
    "TOO_MANY",
    "TOPICS",
    "TRACE_SECONDS",
    "ActiveTrace",
    "active",
    "are_too_many",
    "connections",
    "end",
    "may_trace",
    "may_watch",
    "seconds_left",
    "start",
    "stop",
    "subject_of",
    "topic_of",
]

PERMISSION, VIEW = "realtime.add_trace", "realtime.view_trace"
TOPICS = "realtime/traces/"
"""The start of the names of the topics of traces."""
TRACE_SECONDS = 600.0
"""The time after which a trace ends by itself."""
MOST = 50
"""The most traces that are on at once."""
KEPT_DAYS = 30
"""The days for which ended traces are listed; the log of the admin keeps them for good."""
CONNECTION = re.compile(r"([0-9a-f]{12})\.[0-9]{1,20}")
TOO_MANY = _("There are too many traces now. Stop one first.")
GONE = _("The process of this connection has ended.")


class ActiveTrace(NamedTuple):
    """A trace that is on, about a user or a connection, for so many more seconds."""

    pk: int
    subject: str
    is_connection: bool
    seconds: float
    is_permitted: bool = True
    """Whether the user who has started it still may."""


def topic_of(trace: int) -> str:
    """Return the name of the topic that carries the lines of a trace."""
    return f"{TOPICS}{trace}"


def may_trace(user: Any) -> bool:
    """Return whether a user may start and stop traces: active staff with the permission."""
    return is_staff_with(user, PERMISSION)


def may_watch(user: Any) -> bool:
    """Return whether a user may see what traces tell: who may trace, or view traces."""
    return may_trace(user) or is_staff_with(user, VIEW)


def subject_of(text: str) -> tuple[str, bool]:
    """Return the id of the user or connection that a text means, and whether it is a connection.

    A text is the id of a connection, user or guest, or a username. Raises `CommandError` with
    `unknown_user` if there is none.
    """
    if found := CONNECTION.fullmatch(text):
        if not _nodes().filter(IS_ALIVE, pk=found[1]).exists():
            raise CommandError(ErrorCode.UNKNOWN_USER, GONE)
        return text, True
    if text.startswith(GUEST):
        key = canonical(text)
        if key is None:
            raise unknown_user()
        return key, False
    return _user_of(text), False


def _user_of(text: str) -> str:
    pk = pk_of(text)
    user = None if pk is None else any_user(pk)
    if user is None:
        name = get_user_model().USERNAME_FIELD, text
        user = users_by([name]).get(name)
    if user is None:
        raise unknown_user()
    return str(user.pk)


def start(subject: str, *, is_connection: bool, by: Any) -> Trace:
    """Switch a trace on; raise `CommandError` if too many are on."""
    rows = _traces()
    rows.filter(ends_at__lt=Now() - timedelta(days=KEPT_DAYS)).delete()
    if are_too_many():
        raise CommandError(ErrorCode.LIMIT_EXCEEDED, TOO_MANY)
    ends_at = Now() + timedelta(seconds=TRACE_SECONDS)
    trace = rows.create(
        subject=subject,
        is_connection=is_connection,
        by=by,
        started_at=Now(),
        ends_at=ends_at,
    )
    trace.refresh_from_db()
    return trace


def are_too_many() -> bool:
    """Return whether one more trace would be one too many."""
    return _on().count() >= MOST


def stop(trace: int) -> bool:
    """Switch a trace off; return whether it was on."""
    return bool(_on().filter(pk=trace).update(ends_at=Now()))


def seconds_left(trace: int) -> float:
    """Return for how many seconds a trace is still on; 0 if it is over."""
    left = _on().filter(pk=trace).annotate(left=LEFT).values_list("left", flat=True).first()
    return 0.0 if left is None else min(left.total_seconds(), TRACE_SECONDS)


def active() -> list[ActiveTrace]:
    """Return the traces that are on, also those whose user may not trace any more."""
    rows = list(_on().annotate(left=LEFT))
    users = users_by_pk({one.by_id for one in rows} - {None})
    may = {pk: may_trace(user) for pk, user in users.items()}
    return [
        ActiveTrace(
            one.pk,
            one.subject,
            one.is_connection,
            one.left.total_seconds(),
            may.get(one.by_id, False),
        )
        for one in rows
    ]


def end(ended: Sequence[int]) -> None:
    """Switch off traces whose user may not trace any more."""
    _on().filter(pk__in=ended).update(ends_at=Now())


def connections(node: str, subjects: Sequence[str]) -> list[tuple[str, str]]:
    """Return the ids and users of the connections of a node that are among these subjects."""
    rows = Connection.objects.using(database()).filter(node=node)
    wanted = rows.filter(Q(user_key__in=subjects) | Q(pk__in=subjects))
    return list(wanted.values_list("pk", "user_key"))


LEFT = ExpressionWrapper(F("ends_at") - Now(), DurationField())


def _on() -> QuerySet[Trace]:
    # A trace from the future shows that the clock was set back: it would last for too long.
    return _traces().filter(started_at__lte=Now(), ends_at__gt=Now())


def _traces() -> QuerySet[Trace]:
    return Trace.objects.using(database())


def _nodes() -> QuerySet[Node]:
    return Node.objects.using(database())
