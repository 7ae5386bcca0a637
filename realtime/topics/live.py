"""Live models: topics that are lists of rows, published as the rows change.

    class OrderRow(Event):
        item: str
        status: str

    class OrderList(LiveTopic):
        path = "orders/<int:customer_id>"
        list_of = Order
        row = OrderRow
        keep = timedelta(days=7)
        customer_id: int

        def may_subscribe(self) -> bool:
            return self.identity.user_pk == self.customer_id

The module `rows` publishes by the signals of the models, and asks these classes what to publish.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Self

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models import Model, QuerySet

from ..store.topics.drafts import EntryDraft, Kind
from ..wire.tags import name_of
from . import rows
from .html import Html, fragment
from .rows import changing, publish_rows
from .structs import Event
from .topic import Topic

__all__ = ["LiveTopic", "changing", "publish_rows"]


class LiveTopic(Topic):
    """A list of rows of a model. Each row is a value, and its key is the primary key as text.

    The values of the path that are fields of the model choose the rows of one list.
    """

    list_of: ClassVar[type[Model] | None] = None
    """The model."""
    row: ClassVar[type[Event] | None] = None
    """The event with what is published of a row: its fields are attributes of the row."""
    template: ClassVar[str] = ""
    """In place of `row`: a template that renders a row; its key is then `order-7`, its `id`."""
    permission: ClassVar[str] = ""
    """The permission that `may_subscribe` asks for, unless the class overrides it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if cls.row is not None and cls.row not in cls.events:
            cls.events = [*cls.events, cls.row]
        super().__init_subclass__(**kwargs)
        if rows.is_model(cls.list_of):
            rows.watch(cls.list_of)

    # For subclasses.

    def may_subscribe(self) -> bool:
        """Return whether `self.identity` has the `permission`; without one, nobody may."""
        return self.permission != "" and self.identity.user.has_perm(self.permission)

    @classmethod
    def queryset(cls) -> QuerySet[Any]:
        """Return the rows of all lists. A row that leaves it is told as deleted."""
        return super().queryset()

    @classmethod
    def topics_of(cls, row: Any) -> Iterable[Self]:
        """Return the lists that a row is in: by default one.

        A row is in none if no name can have its values: for example None or an empty text.
        """
        values = [_attribute(row, name) for name in cls.lookups()]
        if None in values:
            return []
        try:
            return [cls.of(row)]
        except ValueError:
            return []

    @classmethod
    def event_of(cls, row: Any) -> Event:
        """Return what is published of a row."""
        if cls.template:
            return fragment(cls.template, {"row": row, cls._label(): row})
        if cls.row is None:
            fault = f"{cls.__qualname__} does not say what is published of a row"
            raise ImproperlyConfigured(f"{fault}: write `row = …` or `template = …` in the class.")
        return cls.row(**{name: getattr(row, name) for name in cls.row.__struct_fields__})

    # For views and tasks.

    def rows(self) -> QuerySet[Any]:
        """Return the rows of this list, for the page that shows it."""
        return self.queryset().filter(**self.lookup)

    def reconcile(self) -> int:
        """Publish how the values differ from the rows; return how many did.

        Call it once for rows that are older than the class, and after writes that send no signal.
        """
        self._check_thread("reconcile")
        return rows.reconcile(self)

    async def areconcile(self) -> int:
        """Publish how the values differ from the rows; return how many did."""
        return await sync_to_async(self.reconcile)()

    # For the module `rows`.

    @classmethod
    def key_of_row(cls, pk: Any) -> str:
        """Return the key of a row."""
        return f"{cls._label()}-{pk}" if cls.template else str(pk)

    @classmethod
    def pk_of(cls, key: str) -> Any:
        """Return the primary key of a row from its key; None for a key of something else."""
        text = key.removeprefix(f"{cls._label()}-") if cls.template else key
        try:
            pk = cls.model_of_rows()._meta.pk.to_python(text)
        except ValidationError:
            return None
        return pk if cls.key_of_row(pk) == key else None

    @classmethod
    def name_of_rows(cls) -> str:
        """Return the name of the events of rows on the wire."""
        return name_of(cls.row or Html)

    def change(self, key: str, event: Event) -> EntryDraft:
        """Return the draft that sets the value of a row."""
        return self._draft(event, key=key)

    def removal(self, key: str, *, is_known: bool) -> EntryDraft:
        """Return the draft that deletes the value of a row.

        A row that is known to have been in the list is told as deleted without a value too, because
        pages may show it that are older than its first value.
        """
        self._check_kept("values")
        name = self.name_of_rows() if is_known else ""
        return EntryDraft(topic=self.name, kind=Kind.DELETE, key=key, type=name)

    @classmethod
    def model_of_rows(cls) -> type[Model]:
        """Return the model. Raises `ImproperlyConfigured` without one."""
        if cls.list_of is None:
            fault = f"{cls.__qualname__} is a list of no model"
            raise ImproperlyConfigured(f"{fault}: write `list_of = …` in the class.")
        return cls.list_of

    @classmethod
    def _bound_model(cls) -> type[Model]:
        return cls.model_of_rows()

    @classmethod
    def _label(cls) -> str:
        return str(cls.model_of_rows()._meta.model_name)


def _attribute(row: Any, name: str) -> Any:
    """Return the value of a lookup such as `shop__slug`; None if there is no shop."""
    for part in name.split("__"):
        row = None if row is None else getattr(row, part)
    return row
