"""The surface of a site: what its sockets and topics receive and send."""

from collections.abc import Iterable, Iterator
from inspect import cleandoc
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from msgspec import Struct

from ..consumers import Consumer
from ..topics import Topic
from ..topics.html import OWN
from ..topics.registry import registry
from ..wire import commands, events
from ..wire.decoder import tag_of
from ..wire.tags import name_of
from .routes import consumer_named, routed

__all__ = ["Exchange", "Socket", "Surface", "TopicClass", "doc_of"]

LATER: dict[type[Struct], tuple[type[Struct], ...]] = {
    commands.Message: (events.Ack,),
    commands.Joins: (events.Joined,),
    commands.Subscribes: (events.Subscribed,),
    commands.Call: (events.Result,),
    commands.History: (events.HistoryPage, events.Resync),
}
"""The replies of commands whose method does not return them, as they come later."""


class Exchange(NamedTuple):
    """A command and what may answer it."""

    name: str
    command: type[Struct]
    replies: tuple[type[Struct], ...]
    doc: str


class Socket(NamedTuple):
    """A consumer class, and the paths of its routes."""

    owner: type[Consumer]
    paths: tuple[str, ...]
    exchanges: tuple[Exchange, ...]
    events: tuple[type[Struct], ...]
    raw: tuple[str, ...]
    """Which frames without the protocol it takes and sends: `text`, `binary`."""
    questions: tuple[Exchange, ...] = ()
    """What the site asks clients, and the struct of each answer."""


class TopicClass(NamedTuple):
    """A topic class, with its events by their names."""

    owner: type[Topic]
    path: str
    exchanges: tuple[Exchange, ...]
    events: tuple[tuple[str, type[Struct]], ...]


class Surface(NamedTuple):
    """All sockets and topics of a site, in an order that does not depend on imports."""

    sockets: tuple[Socket, ...]
    topics: tuple[TopicClass, ...]

    @classmethod
    def of_site(cls, names: Iterable[str] = ()) -> "Surface":
        """Collect the consumers that have routes and those named, and all topic classes."""
        paths: dict[type[Consumer], set[str]] = {}
        for path, consumer in routed():
            paths.setdefault(consumer, set()).add(path)
        for name in names:
            paths.setdefault(consumer_named(name), set())
        return cls.of(paths, registry.site_classes)

    @classmethod
    def of(
        cls, paths: dict[type[Consumer], set[str]], topics: Iterable[type[Topic]] = ()
    ) -> "Surface":
        """Describe these consumers, each with its paths, and these topic classes."""
        sockets = [_socket(consumer, sorted(found)) for consumer, found in paths.items()]
        found = [_topic(topic) for topic in topics]
        return cls(
            tuple(sorted(sockets, key=lambda one: (one.paths, _full_name(one.owner)))),
            tuple(sorted(found, key=lambda one: (one.path, _full_name(one.owner)))),
        )

    def structs(self) -> Iterator[type[Struct]]:
        """Yield all structs; some of them more than once."""
        for one in self._exchanges():
            yield from (one.command, *one.replies)
        for socket in self.sockets:
            yield from socket.events
        for topic in self.topics:
            yield from (struct for _, struct in topic.events)

    def owners(self) -> list[type]:
        """Return the consumer and topic classes."""
        return [*(one.owner for one in self.sockets), *(one.owner for one in self.topics)]

    def _exchanges(self) -> Iterator[Exchange]:
        for socket in self.sockets:
            yield from (*socket.exchanges, *socket.questions)
        for topic in self.topics:
            yield from topic.exchanges


def doc_of(owner: type) -> str:
    """Return the docstring that a class has itself."""
    return cleandoc(vars(owner).get("__doc__") or "")


def _socket(consumer: type[Consumer], paths: Iterable[str]) -> Socket:
    exchanges = [
        Exchange(
            tag_of(struct),
            struct,
            LATER.get(struct, tuple(_replies(handler.method))),
            cleandoc(handler.method.__doc__ or doc_of(struct)),
        )
        for struct, handler in consumer.commands.items()
    ]
    sent = (event for base in reversed(consumer.__mro__) for event in vars(base).get("sends", ()))
    raw = tuple(kind for kind, one in consumer.raw_handlers._asdict().items() if one is not None)
    if raw and not consumer.commands.has_own:
        return Socket(consumer, tuple(paths), (), (), raw)
    events_sent = tuple(dict.fromkeys(sent))
    asked = (vars(base).get("asks", {}) for base in reversed(consumer.__mro__))
    questions = [_question(*pair) for some in asked for pair in some.items()]
    return Socket(consumer, tuple(paths), _sorted(exchanges), events_sent, raw, _sorted(questions))


def _question(question: type[Struct], answer: type[Struct]) -> Exchange:
    return Exchange(name_of(question), question, (answer,), doc_of(question))


def _topic(topic: type[Topic]) -> TopicClass:
    exchanges = [
        Exchange(
            name,
            handler.struct,
            tuple(_replies(handler.method)),
            cleandoc(handler.method.__doc__ or doc_of(handler.struct)),
        )
        for name, handler in topic.calls.items()
    ]
    own = OWN if topic.keep else ()  # without `keep`, a topic publishes no HTML
    named = sorted({name_of(event): event for event in (*own, *topic.events)}.items())
    return TopicClass(topic, topic.path, _sorted(exchanges), tuple(named))


def _sorted(exchanges: list[Exchange]) -> tuple[Exchange, ...]:
    return tuple(sorted(exchanges, key=lambda one: one.name))


def _replies(method: Any) -> Iterator[type[Struct]]:
    """Yield the structs in the annotation of what a method returns, also those in a list."""
    yield from _structs_in(get_type_hints(method).get("return"))


def _structs_in(annotation: Any) -> Iterator[type[Struct]]:
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        if annotation not in (events.Outgoing, Struct):
            yield annotation
    elif get_origin(annotation) is not None:
        for part in get_args(annotation):
            yield from _structs_in(part)


def _full_name(owner: type) -> str:
    return f"{owner.__module__}.{owner.__qualname__}"
