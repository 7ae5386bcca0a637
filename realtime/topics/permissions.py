"""Ask whether users may subscribe: concurrent questions about one topic class are one query.

A verdict is remembered with the version of rights that the database had before the question. So
any later change of rights makes it old.
"""

from dataclasses import dataclass
from typing import NamedTuple

from django.utils.translation import gettext_lazy as _

from ..engine.database.executor import Database
from ..logs import get_logger
from ..store.logs import RightsVersion
from ..store.topics.entries import NO_LOG, marks
from ..wire.errors import CommandError, ErrorCode
from .registry import unknown_topic
from .rights import Decision, decide, sees_presence
from .topic import Topic

__all__ = ["Verdict", "verdict_on"]

logger = get_logger("realtime.topics")

UNDECIDED = _("The server cannot decide whether you may subscribe to this topic.")


class Verdict(NamedTuple):
    """Whether a user may subscribe to a topic; `refusal` is None if so."""

    refusal: CommandError | None
    rights: RightsVersion
    """The version of the rights of the topic on which it is based."""
    sees_presence: bool = False
    """Whether the user may see who is subscribed."""


async def verdict_on(db: Database, topic: Topic) -> Verdict:
    """Return whether the identity of a topic may subscribe to it.

    Raises `OperationalError` if the database does not answer, or the site's code takes too long.
    """
    verdict = await db.ask(Judge(type(topic)), topic)
    return verdict or Verdict(_no_topic(), NO_LOG.rights)


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides questions about the topics of one class; equal for the same class."""

    kind: type[Topic]

    def __call__(self, topics: list[Topic]) -> dict[Topic, Verdict]:
        """Return the verdict on each topic and its identity; it runs in a thread."""
        # Read first: a change of rights after this makes the verdicts old, so it is not missed.
        known = marks(topic.name for topic in topics)
        signed = {topic for topic in topics if topic.is_permitted(known[topic.name].rights)}
        decisions = decide([topic for topic in topics if topic not in signed])
        return {
            topic: Verdict(
                self._refusal(decision),
                known[topic.name].rights,
                sees_presence=decision is True and sees_presence(topic),
            )
            for topic, decision in (decisions | dict.fromkeys(signed, True)).items()
        }

    def _refusal(self, decision: Decision) -> CommandError | None:
        match decision:
            case True:
                return None
            case False:
                return _no_topic()
            case CommandError():
                return decision
        logger.error(
            "%s cannot decide who may subscribe", self.kind.__qualname__, exc_info=decision
        )
        return CommandError(ErrorCode.INTERNAL, UNDECIDED)


def _no_topic() -> CommandError:
    """Return the refusal without a name: the reply has that of the command."""
    return unknown_topic("")
