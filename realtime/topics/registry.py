"""The topic classes of a site, found in the `topics.py` of each app, as the admin is."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model
from django.utils.module_loading import autodiscover_modules

from ..logs import get_logger
from ..wire.errors import CommandError, ErrorCode
from ..wire.text import Text as _
from .overlaps import common_name

if TYPE_CHECKING:
    from ..store.accounts.identity import Identity
    from .topic import Topic

__all__ = ["Overlap", "Registry", "registry", "unknown_topic"]

logger = get_logger("realtime.topics")
OWN = f"{__package__.partition('.')[0]}."
AMBIGUOUS = "the topic %r is refused, because %s and %s both have its path"


class Overlap(NamedTuple):
    """Two classes with paths that match the same name."""

    one: "type[Topic]"
    other: "type[Topic]"
    name: str


class Registry:
    """All topic classes that have a path; each is added when it is defined."""

    def __init__(self) -> None:
        self._classes: dict[str, type[Topic]] = {}

    def add(self, topic: "type[Topic]") -> None:
        """Add a class; one with the same module and name is replaced, as after a reload."""
        self._classes[f"{topic.__module__}.{topic.__qualname__}"] = topic
        self.__dict__.pop("classes", None)

    @cached_property
    def classes(self) -> "list[type[Topic]]":
        """The classes with a path, in the order of their definition."""
        return [one for one in self._classes.values() if one.has_path()]

    @property
    def site_classes(self) -> "list[type[Topic]]":
        """The classes with a path that are not those of the package."""
        return [one for one in self.classes if not one.__module__.startswith(OWN)]

    @property
    def all_classes(self) -> "list[type[Topic]]":
        """Also the classes without a path."""
        return list(self._classes.values())

    def discover(self) -> None:
        """Import the `topics.py` of each app; without database work."""
        autodiscover_modules("topics")

    def resolve(self, name: str, identity: "Identity | None" = None) -> "Topic":
        """Return the topic with a name that a client has sent; its own `name` is canonical.

        Raises `CommandError` with `unknown_topic` if no class has such a path.
        """
        found = [
            (topic, values)
            for topic in self.classes
            if (values := topic.route().match(name)) is not None
        ]
        if len(found) > 1:
            logger.error(AMBIGUOUS, name, found[0][0].__qualname__, found[1][0].__qualname__)
        if len(found) != 1:
            raise unknown_topic(name)
        [(topic, values)] = found
        try:
            return topic.made(values, identity)
        except ValueError:
            raise unknown_topic(name) from None
        except Exception as error:  # of a converter, as it writes the name
            topic.route().log_failure(error)
            raise unknown_topic(name) from None

    def of_object(self, instance: Model) -> "Topic":
        """Return the topic of a model object.

        Raises `ImproperlyConfigured` unless exactly one class is about its model.
        """
        found = [one for one in self.classes if one.model and isinstance(instance, one.model)]
        if len(found) == 1:
            return found[0].of(instance)
        names = " and ".join(one.__qualname__ for one in found)
        fault = f"{names} are about" if found else "No topic class is about"
        raise ImproperlyConfigured(
            f"{fault} {type(instance).__name__} objects: give the topic itself, such as"
            " `OrderTopic.of(order)`."
        )

    def keep_of(self, name: str) -> timedelta | None:
        """Return how long the entries of a topic are kept; None if no class has this name today."""
        try:
            return self.resolve(name).keep
        except CommandError:
            return None

    def path_of(self, name: str) -> str:
        """Return the path of the class of a topic; empty if no class has this name today."""
        try:
            return type(self.resolve(name)).path
        except CommandError:
            return ""

    def overlaps(self) -> Iterator[Overlap]:
        """Find classes whose paths match the same name."""
        for one, other in combinations(self.classes, 2):
            name = common_name(one.route(), other.route())
            if name is not None:
                yield Overlap(one, other, name)

    @contextmanager
    def isolated(self) -> "Iterator[Registry]":
        """Know only the classes that are defined in this block, as tests need it."""
        before, self._classes = self._classes, {}
        self.__dict__.pop("classes", None)
        try:
            yield self
        finally:
            self._classes = before
            self.__dict__.pop("classes", None)


def unknown_topic(name: str) -> CommandError:
    """Return the refusal of a topic that does not exist, has no valid name, or is forbidden.

    It is the same for all three, so that a client does not learn which topics exist.
    """
    return CommandError(ErrorCode.UNKNOWN_TOPIC, _("There is no such topic."), topic=name)


registry = Registry()
