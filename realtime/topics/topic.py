"""The base of a site's topics."""

from collections.abc import Iterable, Sequence
from functools import cached_property, reduce
from inspect import getattr_static, isawaitable, iscoroutinefunction
from typing import Any, ClassVar, Self, dataclass_transform

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model, QuerySet

from ..store.accounts.identity import Identity
from ..store.logs import RightsVersion
from ..wire.handlers import mistake
from .calls import CallSet
from .html import HtmlPublishing
from .reading import Reading
from .registry import registry, unknown_topic
from .signatures import Signature, Signing

__all__ = ["Topic"]

SYNC = ("may_subscribe", "may_see_presence", "allowed", "queryset")
"""The methods that run in a thread: a coroutine would count as a consent."""
OF_CLASS = ("allowed", "queryset")


@dataclass_transform(kw_only_default=True)
class Topic(HtmlPublishing, Reading, Signing):
    """Something that clients subscribe to; a subclass in an app's `topics.py` says who may.

    An instance is one topic: it has the values of the path as attributes, and is made for each use,
    so it holds nothing. Declare the values with their types, for type checkers: `pk: int`.
    """

    model: ClassVar[type[Model] | None] = None
    """The model of the object that a topic is about. A topic without its object is unknown."""
    calls: ClassVar[CallSet] = CallSet()
    """The commands of clients, by name."""

    _identity: Identity | None
    _signature: Signature | None
    values_of_path: dict[str, Any]
    """The values in the name, by parameter."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in SYNC:
            if iscoroutinefunction(getattr(cls, name)):
                raise mistake(cls, name, f"is async: write `def {name}(…)`, it runs in a thread")
        for name in OF_CLASS:
            if not isinstance(getattr_static(cls, name), classmethod):
                raise mistake(cls, name, "is asked for many topics: mark it with `@classmethod`")
        cls.calls = CallSet.of(cls)
        registry.add(cls)

    def __init__(self, **values: Any) -> None:
        name, found = self.route().name(values)
        self._fill(name, found, None)

    @classmethod
    def made(cls, values: dict[str, Any], identity: Identity | None) -> Self:
        """Return the topic for the values of its path. Raises `ValueError`."""
        topic = cls.__new__(cls)
        topic._fill(cls.route().canonical(values), values, identity)
        return topic

    @classmethod
    def of(cls, instance: Model, **others: Any) -> Self:
        """Return the topic of a model object.

        The values of the path are its fields; `others` are the values that no field has.
        """
        if not isinstance(instance, cls._bound_model()):
            fault = f"{cls.__qualname__} is about {cls._bound_model().__name__} objects"
            raise TypeError(f"{fault}, not {type(instance).__name__}.")
        values = {name: _attribute(instance, name) for name in cls.lookups()}
        topic = cls(**values, **others)
        topic.bind(instance)
        return topic

    # For subclasses.

    def may_subscribe(self) -> bool:
        """Return whether `self.identity` may subscribe; by default, nobody may.

        It runs in a thread, so it may use the database. `Model.DoesNotExist`, `Http404` and
        `PermissionDenied` mean no. Call `refresh_rights` when the answer may have changed.
        """
        return False

    def may_see_presence(self) -> bool:
        """Return whether `self.identity`, who may subscribe, sees who else is subscribed.

        By default, every subscriber does. It is asked only if `presence` is true, in a thread.
        """
        return True

    @classmethod
    def allowed(cls, asks: Sequence[Self]) -> Iterable[Self]:
        """Return those of the topics whose `identity` may subscribe.

        Override it to answer many at once with one query; by default it calls `may_subscribe`.
        """
        return [ask for ask in asks if _is_yes(cls, ask.may_subscribe())]

    @classmethod
    def queryset(cls) -> QuerySet[Any]:
        """Return the objects that topics of this class are about."""
        return cls._bound_model()._default_manager.all()

    @classmethod
    def lookups(cls) -> list[str]:
        """Return those parameters of the path that identify the object: fields of the model."""
        options = cls._bound_model()._meta
        fields = {"pk", *(field.name for field in options.get_fields())}
        fields |= {field.attname for field in options.concrete_fields}
        return [name for name in cls.route().parameters if name.split("__")[0] in fields]

    @property
    def lookup(self) -> dict[str, Any]:
        """The values of the path that identify the object."""
        return {name: self.values_of_path[name] for name in self.lookups()}

    @property
    def key_of_object(self) -> tuple[str, ...]:
        """The values that identify the object, as text."""
        return tuple(self.route().text(name, value) for name, value in self.lookup.items())

    @classmethod
    def key_of(cls, instance: Model) -> tuple[str, ...]:
        """Return what `key_of_object` is for the topics of an object."""
        values = {name: _attribute(instance, name) for name in cls.lookups()}
        # Converters of text return any value as it is, also the number of a key.
        return tuple(str(cls.route().text(name, value)) for name, value in values.items())

    def bind(self, instance: Model) -> None:
        """Use an object that is known, instead of a query."""
        vars(self)["object"] = instance

    def carry(self, signature: Signature | None) -> None:
        """Use the signature of the client's page; it counts if the class is `signed`."""
        self._signature = signature

    @property
    def page_signature(self) -> Signature | None:
        """The signature of the client's page, if it has sent one."""
        return self._signature

    def is_permitted(self, rights: RightsVersion) -> bool:
        """Return whether the page's signature permits to subscribe under a version of rights."""
        signature = self._signature
        return self.signed and signature is not None and signature.permits(self.identity, rights)

    # For methods of subclasses.

    @property
    def identity(self) -> Identity:
        """The user or guest who subscribes or calls."""
        if self._identity is None:
            fault = "has no identity, because it was made by the site's code"
            raise AttributeError(f"The topic {self.name!r} {fault}, not for a client.")
        return self._identity

    @cached_property
    def object(self) -> Any:
        """The object that the topic is about. Raises `unknown_topic` if it does not exist."""
        found = self.queryset().filter(**self.lookup).first()
        if found is None:
            raise unknown_topic(self.name)
        return found

    async def aobject(self) -> Any:
        """Return the object, in async code. Raises `unknown_topic` if it does not exist."""
        return await sync_to_async(lambda: self.object)()

    def __eq__(self, other: Any) -> bool:
        return type(self) is type(other) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def _key(self) -> tuple[str, Identity | None, int, Signature | None]:
        # Two instances of one user are equal to Django, but one may be older than the other.
        user = None if self._identity is None else self._identity.user
        return self.name, self._identity, id(user), self._signature

    def _fill(self, name: str, values: dict[str, Any], identity: Identity | None) -> None:
        self._name, self.values_of_path, self._identity = name, values, identity
        self._signature = None
        vars(self).update(values)

    @classmethod
    def _bound_model(cls) -> type[Model]:
        if cls.model is None:
            raise ImproperlyConfigured(
                f"{cls.__qualname__} is about no model: write `model = …` in the class."
            )
        return cls.model


def _is_yes(topic: type[Topic], answer: Any) -> bool:
    if isawaitable(answer):  # it would count as a consent
        raise TypeError(f"{topic.__qualname__}.may_subscribe is async: write `def`.")
    return bool(answer)


def _attribute(instance: Model, name: str) -> Any:
    """Return the value of a lookup such as `pk` or `order__slug`."""
    return reduce(getattr, name.split("__"), instance)
