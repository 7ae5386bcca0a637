"""The span of a publish to topics."""

from collections.abc import Sequence

from ..spans import OFF, Span, spans
from ..store.topics.drafts import EntryDraft
from .registry import registry

__all__ = ["begin_publish"]


def begin_publish(drafts: Sequence[EntryDraft]) -> Span:
    """Begin the span of drafts; the path of a topic has few values, unlike its name."""
    if not spans.is_on:
        return OFF
    names = {draft.topic for draft in drafts}
    name = names.pop() if len(names) == 1 else ""
    return spans.publish(name, len(drafts), registry.path_of(name) if name else "")
