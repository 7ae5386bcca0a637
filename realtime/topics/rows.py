"""Publish rows of models: by the signals of their models, and by calls where Django sends none.

What is published is read from the database after the write and under the lock of the row. So the
last published state of a row is that of its last commit.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from django.db import connections, router, transaction
from django.db.models import Model, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from ..logs import get_logger
from ..models.logs import TOPIC_CHARACTERS
from ..store.topics.drafts import is_key
from .encoding import data_of
from .inheritance import are_relatives, concrete_of, family, parents, same_table
from .publishing import store
from .registry import registry
from .stored import StoredEvent
from .structs import Event

if TYPE_CHECKING:
    from ..store.topics.drafts import EntryDraft
    from .live import LiveTopic

__all__ = ["changing", "is_model", "publish_rows", "reconcile", "watch"]

logger = get_logger("realtime.topics")

AT_ONCE = 500
"""The most rows that are locked and read together."""
BEFORE = "_realtime_listings"
"""The attribute of an instance with the listings of its row before its save, by primary key."""
UID = "realtime.topics.rows"

NO_KEY = "%s leaves out a row of %s: its key must have 1 to %d characters, without NUL"

M = TypeVar("M", bound=Model)
Listing = tuple["LiveTopic", str]
"""A list that a row is in, and its key there."""


def publish_rows(rows: QuerySet[Any] | Iterable[Model]) -> None:
    """Publish rows that were written without signals, such as by `bulk_create` and `update`.

    Call it after the write, and in its transaction. If the rows may have left a list whose name
    depends on them, write within `changing` instead.
    """
    for model, alias, pks in _groups(rows):
        for some in _batches(pks):
            with _locked(model, some, alias):
                store([*_changes(model, some, set(), alias), *_absences(model, some, alias)], alias)


@contextmanager
def changing(rows: QuerySet[M]) -> Iterator[QuerySet[M]]:
    """Publish what a block changes in some rows, also where they leave a list.

    It opens a transaction, locks the rows, and yields them as a queryset:
    `with changing(orders) as locked: locked.update(status="paid")`.
    """
    model, alias = rows.model, _alias(rows)
    with transaction.atomic(using=alias):
        found = set(_pks(rows, alias))
        _lock(model, found, alias)
        # Read again: another process may have changed them before the lock.
        pks = [pk for pk in _pks(rows, alias) if pk in found]
        before = [(some, _listings(model, some, alias)) for some in _batches(pks)]
        # Without the filters, which the first change may end.
        yield type(rows)(model=model, using=alias).filter(pk__in=_as_one(model, pks, alias))
        for some, listings in before:
            store(_changes(model, some, listings, alias), alias)


def reconcile(topic: "LiveTopic") -> int:
    """Publish how the values of a list differ from its rows; return how many did."""
    kind, count = type(topic), 0
    model = kind.model_of_rows()
    alias = router.db_for_write(model)
    known = {
        key: value
        for key, value in topic.values().items()
        if value.name == kind.name_of_rows() and kind.pk_of(key) is not None
    }
    pks = dict.fromkeys(topic.rows().using(alias).values_list("pk", flat=True))
    pks |= {kind.pk_of(key): None for key in known}
    for some in _batches(list(pks)):
        with _locked(model, some, alias):
            drafts = list(_differences(topic, some, known, alias))
            store(drafts, alias)
        count += len(drafts)
    return count


def is_model(value: object) -> TypeGuard[type[Model]]:
    """Return whether something is the class of a model; the checks tell of what is not."""
    return isinstance(value, type) and issubclass(value, Model)


def watch(model: type[Model]) -> None:
    """Connect the signals of a model, of its proxies, and of its parents and children.

    The deletion of a parent or child row sends the signals of the model too.
    """
    concrete = concrete_of(model)
    for sender in [*family(concrete), *parents(concrete)]:
        pre_save.connect(_note_saved, sender=sender, dispatch_uid=UID)
        post_save.connect(_publish_saved, sender=sender, dispatch_uid=UID)
    for sender in same_table(concrete):
        pre_delete.connect(_note_deleted, sender=sender, dispatch_uid=UID)
        post_delete.connect(_publish_deleted, sender=sender, dispatch_uid=UID)


# Signals. Nothing is published before the write, because then the order of two transactions in the
# log would not be that of their writes.


def _note_saved(sender: Any, instance: Model, using: str, raw: bool = False, **_: Any) -> None:
    """Note in which lists a row is before it is saved."""
    if not raw and instance.pk is not None and _classes(sender):
        _note(instance, _present_listings(sender, instance.pk, using))


def _note_deleted(sender: Any, instance: Model, using: str, **_: Any) -> None:
    """Note in which lists of its own model a row is before it is deleted."""
    if _classes(sender):
        found = _present_listings(sender, instance.pk, using)
        _note(instance, {one for one in found if _is_of(sender, one[0])})


def _note(instance: Model, listings: set[Listing]) -> None:
    """Note listings beside earlier ones: a receiver of the site may save a row within its save."""
    noted = vars(instance).setdefault(BEFORE, {})
    noted[instance.pk] = noted.get(instance.pk, set()) | listings


def _noted(instance: Model) -> set[Listing]:
    """Remove and return the listings; not those of another row, whose save has failed."""
    found: set[Listing] = vars(instance).pop(BEFORE, {}).get(instance.pk, set())
    return found


def _present_listings(model: Any, pk: Any, alias: str) -> set[Listing]:
    """Return the lists that a row is in; a transaction that is open locks it first."""
    if connections[alias].in_atomic_block:
        _lock(model, [pk], alias)
    return _listings(model, [pk], alias)


def _publish_saved(sender: Any, instance: Model, using: str, raw: bool = False, **_: Any) -> None:
    before = _noted(instance)
    if raw or not _classes(sender):
        return
    if connections[using].in_atomic_block:  # the write has locked the row
        store(_changes(sender, [instance.pk], before, using), using)
        return
    with _locked(sender, [instance.pk], using):
        store(_changes(sender, [instance.pk], before, using), using)


def _publish_deleted(instance: Model, using: str, **_: Any) -> None:
    store(_removals(_noted(instance)), using)


def _is_of(model: type[Model], topic: "LiveTopic") -> bool:
    """Return whether a list is of the table of a model, and not of its parent or child."""
    return concrete_of(topic.model_of_rows()) is concrete_of(model)


# What is published.


def _changes(
    model: Any, pks: Sequence[Any], before: set[Listing], alias: str
) -> "list[EntryDraft]":
    """Return the drafts for rows after a write, and for the lists that they have left."""
    states = _states(model, pks, alias)
    drafts = [topic.change(key, event) for (topic, key), event in states.items()]
    return [*_removals(before - states.keys()), *drafts]


def _removals(listings: set[Listing]) -> "list[EntryDraft]":
    ordered = sorted(listings, key=lambda listing: (listing[0].name, listing[1]))
    return [topic.removal(key, is_known=True) for topic, key in ordered]


def _absences(model: Any, pks: Sequence[Any], alias: str) -> "Iterator[EntryDraft]":
    """Delete the values of rows that are in no list; told only if they have a value."""
    present = _listings(model, pks, alias)
    for kind in _classes(model):
        rows = kind.model_of_rows()._base_manager.using(alias)
        for key, row in _keyed(kind, rows.filter(_among(kind, model, pks))):
            for topic in kind.topics_of(row):
                if (topic, key) not in present:
                    yield topic.removal(key, is_known=False)


def _differences(
    topic: "LiveTopic", pks: Sequence[Any], known: dict[str, StoredEvent], alias: str
) -> "Iterator[EntryDraft]":
    rows = topic.rows().using(alias).filter(pk__in=pks)
    events = {key: topic.event_of(row) for key, row in _keyed(type(topic), rows)}
    for key, event in events.items():
        if key not in known or known[key].data != data_of(event):
            yield topic.change(key, event)
    for key in map(topic.key_of_row, pks):
        if key in known and key not in events:
            yield topic.removal(key, is_known=False)


def _states(model: Any, pks: Sequence[Any], alias: str) -> dict[Listing, Event]:
    return {
        (topic, key): event
        for kind, key, row in _listed(model, pks, alias)
        if (topics := list(kind.topics_of(row)))
        for event in [kind.event_of(row)]
        for topic in topics
    }


def _listings(model: Any, pks: Sequence[Any], alias: str) -> set[Listing]:
    return {
        (topic, key)
        for kind, key, row in _listed(model, pks, alias)
        for topic in kind.topics_of(row)
    }


def _listed(
    model: Any, pks: Sequence[Any], alias: str
) -> "Iterator[tuple[type[LiveTopic], str, Any]]":
    """Return the rows that may be in lists, each with the class of the lists and its key there."""
    for kind in _classes(model):
        rows = kind.queryset().using(alias).filter(_among(kind, model, pks))
        for key, row in _keyed(kind, rows):
            yield kind, key, row


def _keyed(kind: "type[LiveTopic]", rows: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Return rows with their keys; a primary key that no value can have fails no save."""
    for row in rows:
        key = kind.key_of_row(row.pk)
        if is_key(key):
            yield key, row
        else:
            logger.error(NO_KEY, kind.__qualname__, type(row).__name__, TOPIC_CHARACTERS)


def _classes(model: type[Model]) -> "list[type[LiveTopic]]":
    """Return the classes whose lists may have rows of a model."""
    concrete = concrete_of(model)
    watched: list[Any] = [
        one for one in registry.classes if is_model(getattr(one, "list_of", None))
    ]
    return [one for one in watched if are_relatives(concrete, concrete_of(one.list_of))]


def _among(kind: "type[LiveTopic]", model: type[Model], pks: Sequence[Any]) -> Q:
    """Return the condition for the rows of a list that are these rows of a model."""
    concrete, listed = concrete_of(model), concrete_of(kind.model_of_rows())
    is_parent = concrete is not listed and issubclass(listed, concrete)
    return Q((f"{concrete._meta.pk.name}__in" if is_parent else "pk__in", pks))


# Rows.


def _groups(
    rows: QuerySet[Any] | Iterable[Model],
) -> Iterator[tuple[type[Model], str, list[Any]]]:
    """Return the primary keys of rows by model and database."""
    if isinstance(rows, QuerySet):
        alias = _alias(rows)
        yield rows.model, alias, _pks(rows, alias)
        return
    found: dict[tuple[type[Model], str], list[Any]] = {}
    for row in rows:
        alias = row._state.db or router.db_for_write(type(row))
        found.setdefault((type(row), alias), []).append(row.pk)
    for (model, alias), pks in found.items():
        yield model, alias, pks


def _pks(rows: QuerySet[Any], alias: str) -> list[Any]:
    return list(rows.using(alias).values_list("pk", flat=True))


def _as_one(model: type[Model], pks: list[Any], alias: str) -> Any:
    """Return primary keys for a query; one of SQLite cannot have a parameter for each of many."""
    connection = connections[alias]
    if connection.vendor != "sqlite" or len(pks) <= AT_ONCE:
        return pks
    values = [model._meta.pk.get_db_prep_value(pk, connection) for pk in pks]
    return RawSQL("SELECT value FROM json_each(%s)", [json.dumps(values, default=str)])


def _alias(rows: QuerySet[Any]) -> str:
    """Return the database that a queryset writes to."""
    chosen: str | None = getattr(rows, "_db", None)
    return chosen or router.db_for_write(rows.model)


def _batches(pks: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(pks), AT_ONCE):
        yield pks[start : start + AT_ONCE]


@contextmanager
def _locked(model: type[Model], pks: Sequence[Any], alias: str) -> Iterator[None]:
    """Lock rows until what is published about them is committed."""
    with transaction.atomic(using=alias, savepoint=False):
        _lock(model, pks, alias)
        yield


def _lock(model: type[Model], pks: Collection[Any], alias: str) -> None:
    features = connections[alias].features
    if features.has_select_for_update:
        rows = model._base_manager.using(alias).filter(pk__in=pks).order_by("pk")
        no_key = features.has_select_for_no_key_update
        list(rows.select_for_update(no_key=no_key).values_list("pk"))
