"""Check the live lists of the site: their model, and what is published of a row."""

from collections.abc import Iterator
from typing import Any

from ..topics.live import LiveTopic
from ..topics.rows import is_model

__all__ = ["faults_of_list"]


def faults_of_list(topic: type[LiveTopic]) -> Iterator[tuple[str, str]]:
    """Return what is wrong with a list, each with a hint."""
    model: Any = topic.list_of
    if not is_model(model) or model._meta.abstract:
        yield f"has `list_of = {model!r}`, which is no model with a table.", "Write a model."
        return
    if (topic.row is None) == (topic.template == ""):
        hint = "Write `row = …` with an event, or `template = …` with the name of a template."
        yield "needs either `row` or `template`, which say what is published of a row.", hint
    if topic.keep is None:
        hint = "Write `keep = timedelta(days=7)`."
        yield "stores nothing, so a page that was away would miss rows.", hint
    others = sorted(set(topic.route().parameters) - set(topic.lookups()))
    if others and topic.topics_of.__func__ is LiveTopic.topics_of.__func__:  # type: ignore[attr-defined]
        hint = "Name a field in the path, or override `topics_of` and `rows`."
        yield f"has `{others[0]}` in its path, which is no field of {model.__name__}.", hint
