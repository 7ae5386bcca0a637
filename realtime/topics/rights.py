"""Decide who may subscribe: the questions of many connections at once, gathered by class."""

from collections.abc import Sequence
from functools import reduce
from inspect import isawaitable
from operator import or_

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import InterfaceError, OperationalError
from django.db.models import Q
from django.http import Http404

from ..logs import get_logger
from ..wire.errors import CommandError, ErrorCode
from .topic import Topic

__all__ = ["Decision", "decide", "sees_presence"]

logger = get_logger("realtime.topics")

Decision = bool | BaseException
"""Whether the identity of a topic may subscribe, or what the site's code has raised."""
NO = (ObjectDoesNotExist, PermissionDenied, Http404)
MALFORMED = (ValueError, TypeError, ValidationError)
AWAY = (OperationalError, InterfaceError)
UNSEEN = "%s cannot decide who may see its presence, so a client does not"
FAILED = "%s cannot decide on %d topics at once, so it is asked about fewer: %r"


def decide(asks: Sequence[Topic]) -> dict[Topic, Decision]:
    """Return the decision for each topic; sync code, to be called in a thread.

    An exception of the site's code is the decision of that topic only, so that no client can spoil
    the answers of others. Raises `OperationalError` or `InterfaceError` if the database is away:
    then each topic would fail, perhaps after a long wait.
    """
    classes: dict[type[Topic], list[Topic]] = {}
    for ask in dict.fromkeys(asks):
        classes.setdefault(type(ask), []).append(ask)
    found: dict[Topic, Decision] = {}
    for topic, group in classes.items():
        found.update(_of_class(topic, group))
    return found


def sees_presence(topic: Topic) -> bool:
    """Return whether the identity of a topic, who may subscribe, sees who is there; in a thread.

    An exception of the site's code means no.
    """
    try:
        answer = topic.presence and topic.may_see_presence()
    except AWAY:
        raise
    except BaseException as error:
        if not isinstance(error, NO):
            logger.error(UNSEEN, type(topic).__qualname__, exc_info=error)
        return False
    return bool(answer)


def _of_class(topic: type[Topic], asks: list[Topic]) -> dict[Topic, Decision]:
    try:
        return _together(topic, asks)
    except AWAY:
        raise
    except BaseException as error:  # in a thread: it ends no task, and is out of the site's code
        if len(asks) == 1:
            return {asks[0]: _refused(error)}
        if not isinstance(error, NO):
            logger.warning(FAILED, topic.__qualname__, len(asks), error)
    # By halves: one question that fails among a hundred costs 14 more calls, not a hundred.
    half = len(asks) // 2
    return _of_class(topic, asks[:half]) | _of_class(topic, asks[half:])


def _together(topic: type[Topic], asks: list[Topic]) -> dict[Topic, Decision]:
    known = asks if topic.model is None else _with_objects(topic, asks)
    answer = topic.allowed(known) if known else []
    if isawaitable(answer):
        raise TypeError(f"{topic.__qualname__}.allowed is async: write `def allowed(…)`.")
    allowed = set(answer)
    return {ask: ask in allowed for ask in asks}


def _with_objects(topic: type[Topic], asks: list[Topic]) -> list[Topic]:
    """Return the topics whose object exists, with it; in one query for all of them."""
    wanted = {ask.name: Q(**ask.lookup) for ask in asks}
    queryset = topic.queryset()
    try:
        found = list(queryset.filter(reduce(or_, wanted.values())))
    except MALFORMED as error:  # a value that its field cannot have, in one of them
        raise ObjectDoesNotExist from error
    objects = {topic.key_of(one): one for one in found}
    known = [ask for ask in asks if ask.key_of_object in objects]
    for ask in known:
        ask.bind(objects[ask.key_of_object])
    return known


def _refused(error: BaseException) -> Decision:
    is_unknown = isinstance(error, CommandError) and error.code == ErrorCode.UNKNOWN_TOPIC
    return False if is_unknown or isinstance(error, NO) else error
