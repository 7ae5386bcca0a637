"""Whether a node drains: an administrator says so in its row, and its process reads it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django.db import transaction

from ..models import Node
from .accounts.identity import Identity
from .database.alias import database
from .moderation import audit
from .presence import IS_ALIVE

__all__ = ["DrainState", "change", "state_of"]


class DrainState(NamedTuple):
    """What the row of a node says."""

    drain_seconds: int | None


def state_of(node_id: str) -> DrainState | None:
    """Return the state of a node; None if it has no row."""
    rows = Node.objects.using(database()).filter(pk=node_id)
    found = rows.values_list("drain_seconds", flat=True)[:1]
    return next(map(DrainState, found), None)


def change(nodes: Iterable[str], seconds: int | None, by: Identity | None) -> Sequence[Node]:
    """Let nodes drain over so many seconds, or serve again with None; return those changed.

    Nodes whose process has ended are left out, and so are those that serve already.
    """
    with transaction.atomic(using=database()):
        rows = Node.objects.using(database()).filter(pk__in=list(nodes))
        if seconds is None:
            rows = rows.exclude(drain_seconds=None)
        found = list(rows.annotate(is_alive=IS_ALIVE).filter(is_alive=True).order_by("pk"))
        rows.filter(pk__in=[one.pk for one in found]).update(drain_seconds=seconds)
        text = "serves again" if seconds is None else f"drains over {seconds} s"
        audit.record_all(by, found, audit.CHANGE, text)
    return found
