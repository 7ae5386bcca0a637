"""Publish HTML: rendered once from a template, with the transaction, and for topics that keep."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import transaction
from django.template import TemplateDoesNotExist
from django.template.loader import render_to_string
from django.test import RequestFactory
from pytest_django import Settings

from realtime.models import Entry
from realtime.testing import published
from realtime.topics import Event, InvalidEvent, Topic
from realtime.topics.html import Html, Refresh

DOCUMENT = Path(__file__).parents[2] / "docs/html.md"
HAS_PARTIALS = django.VERSION >= (6, 0)
PAGES = {
    "card.html": '<p id="card">{{ name }}</p>',
    "page.html": "<h1>Page</h1>{% partialdef card inline %}<p>{{ name }}</p>{% endpartialdef %}",
    "large.html": "{{ text }}",
    "calls.html": "{{ count }}",
}


class Ready(Event):
    """An event of the site."""


class OrderTopic(Topic):
    """Is kept."""

    path = "html/<int:pk>"
    events = [Ready]
    keep = timedelta(days=1)
    pk: int


class LooseTopic(Topic):
    """Is not."""

    path = "html-loose"


class Named(Event, name="html"):
    """Has the name of the package's event."""


class ClashingTopic(Topic):
    path = "html-clashing"
    events = [Named]
    keep = timedelta(days=1)


ORDER = OrderTopic(pk=7)


def locmem(pages: dict[str, str]) -> list[dict[str, Any]]:
    """The setting `TEMPLATES` for templates in memory."""
    loader = ("django.template.loaders.locmem.Loader", pages)
    backend = "django.template.backends.django.DjangoTemplates"
    return [{"BACKEND": backend, "OPTIONS": {"loaders": [loader]}}]


@pytest.fixture(autouse=True)
def templates(settings: Settings) -> None:
    settings.TEMPLATES = locmem(PAGES)


@pytest.mark.usefixtures("database")
def test_a_fragment_is_rendered_from_a_template() -> None:
    ORDER.publish_html("card.html", {"name": "<b>Ada</b>"})
    escaped = '<p id="card">&lt;b&gt;Ada&lt;/b&gt;</p>'
    assert published(ORDER) == [Html(escaped)]
    [stored] = ORDER.history()
    assert (stored.name, stored.data) == ("html", {"html": escaped, "name": ""})
    assert stored.event == Html(escaped)


@pytest.mark.usefixtures("database")
def test_it_is_rendered_once_a_publish() -> None:
    """However many subscribe."""
    counted: Iterator[int] = iter(range(9))
    ORDER.publish_html("calls.html", {"count": lambda: next(counted)})
    assert [one.html for one in published(ORDER) if isinstance(one, Html)] == ["0"]
    assert next(counted) == 1


@pytest.mark.usefixtures("database")
@pytest.mark.skipif(not HAS_PARTIALS, reason="this Django has no partials")
def test_a_part_of_a_template_gives_its_name() -> None:
    ORDER.publish_html("page.html#card", {"name": "Ada"})
    assert published(ORDER) == [Html("<p>Ada</p>", "card")]


@pytest.mark.skipif(HAS_PARTIALS, reason="this Django has partials")
def test_a_part_of_a_template_needs_partials() -> None:
    with pytest.raises(ImproperlyConfigured, match="Install django-template-partials"):
        ORDER.publish_html("page.html#card")


@pytest.mark.usefixtures("database")
def test_a_rollback_takes_it_along() -> None:
    with transaction.atomic():
        ORDER.publish_html("card.html", {"name": "never"})
        ORDER.refresh()
        transaction.set_rollback(True)
    assert not Entry.objects.exists()


@pytest.mark.usefixtures("database")
def test_only_the_latest_fragment_of_a_key_is_stored() -> None:
    for name in ("one", "two"):
        ORDER.publish_html("card.html", {"name": name}, key="card")
    [value] = ORDER.values().values()
    assert (value.key, value.data["html"]) == ("card", '<p id="card">two</p>')
    ORDER.remove_html("card")
    assert ORDER.values() == {}


@pytest.mark.usefixtures("database")
def test_an_element_is_removed_that_was_never_published() -> None:
    """A page has rendered it."""
    for number in (1, 2):
        ORDER.remove_html("card")
        entry = Entry.objects.get()
        assert (entry.key, entry.type, entry.is_deleted) == ("card", "html", True)
        assert entry.changed_seq == number


@pytest.mark.usefixtures("database")
def test_refresh_is_one_row_with_a_fresh_value() -> None:
    ORDER.refresh()
    [first] = published(ORDER)
    ORDER.refresh(within=5)
    [second] = published(ORDER)
    assert isinstance(first, Refresh)
    assert isinstance(second, Refresh)
    assert (first.within, second.within) == (0, 5)
    assert first.id != second.id
    assert Entry.objects.count() == 1
    assert ORDER.values() == {}  # it is no value of the site


@pytest.mark.parametrize("within", [-1, 3601, float("nan")])
def test_a_refresh_is_within_an_hour(within: float) -> None:
    with pytest.raises(ValueError, match="0 to 3600 seconds"):
        ORDER.refresh(within=within)


@pytest.mark.parametrize("publish", ["publish_html", "remove_html", "refresh"])
def test_a_topic_that_keeps_nothing_has_no_pages(publish: str) -> None:
    given = [] if publish == "refresh" else ["card.html"]
    with pytest.raises(ImproperlyConfigured, match="LooseTopic stores nothing"):
        getattr(LooseTopic(), publish)(*given)
    with pytest.raises(ImproperlyConfigured, match="LooseTopic stores nothing"):
        async_to_sync(getattr(LooseTopic(), f"a{publish}"))(*given)


def test_a_large_fragment_names_its_template() -> None:
    with pytest.raises(InvalidEvent, match=r"The fragment of large\.html is too large.*`refresh`"):
        ORDER.publish_html("large.html", {"text": "x" * 65_536})
    with pytest.raises(InvalidEvent, match=r"The fragment of large\.html"):
        async_to_sync(ORDER.apublish_html)("large.html", {"text": "x" * 65_536}, key="k")


def test_markup_is_no_template() -> None:
    with pytest.raises(TemplateDoesNotExist):
        ORDER.publish_html("<p>markup</p>")


def test_an_event_of_the_site_may_not_have_its_name() -> None:
    with pytest.raises(TypeError, match=r"ClashingTopic lists Named.*write `class Named"):
        ClashingTopic().publish_html("card.html")


def test_other_events_still_have_to_be_listed() -> None:
    with pytest.raises(TypeError, match="cannot publish Named"):
        ORDER.publish(Named())


@pytest.mark.usefixtures("database")
def test_the_async_twins_publish_the_same() -> None:
    async def publish() -> None:
        await ORDER.apublish_html("card.html", {"name": "Ada"})
        await ORDER.apublish_html("card.html", {"name": "Bob"}, key="card")
        await ORDER.apublish_html("card.html", {"name": "Eve"}, key="gone")
        await ORDER.aremove_html("gone")
        await ORDER.arefresh(within=2)

    async_to_sync(publish)()
    found: Any = published(ORDER)
    assert [type(one) for one in found] == [Html, Html, Refresh]
    assert found[1].html == '<p id="card">Bob</p>'


async def test_async_code_is_told_of_the_twin() -> None:
    with pytest.raises(SynchronousOnlyOperation, match=r"await self\.apublish_html"):
        ORDER.publish_html("card.html")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


@pytest.mark.usefixtures("database")
def test_the_page_in_the_documents_runs(settings: Settings) -> None:
    """Its templates render, and its code publishes their fragments."""
    files = {re.match(r"{# (.*?) #}", text): text for text in blocks("html")}
    pages = {found[1]: text for found, text in files.items() if found is not None}
    settings.TEMPLATES = locmem(pages)
    given: dict[str, Any] = {"order": SimpleNamespace(pk=7, state="paid")}
    for snippet in blocks("python"):
        exec(snippet, given)
    texts = [one.html for one in published(given["topic"]) if isinstance(one, Html)]
    assert [text.split("<b>")[1].split("</b>")[0] for text in texts] == ["paid"]
    request: Any = RequestFactory().get("/")
    request.user = AnonymousUser()
    context = {"order": given["order"], "order_topic": given["topic"]}
    shown = render_to_string("orders/detail.html", context, request)
    assert re.search(r'<section data-realtime="order/7 [\w:-]+">', shown)
