"""HTML over the wire: publish fragments of templates, or have pages fetch themselves again."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.template.loader import render_to_string

from ..store.topics.drafts import EntryDraft, Kind
from ..wire.tags import name_of
from .declared import OWN_KEYS
from .publishing import Publishing, store
from .structs import Event, EventTooLarge

__all__ = ["Html", "HtmlPublishing", "Refresh", "fragment", "render"]

REFRESH_KEY = f"{OWN_KEYS}refresh"
MAX_WITHIN = 3600
HAS_PARTIALS = django.VERSION >= (6, 0)
NO_PARTIALS = (
    "{} names a part of a template, which Django has from version 6.0 on. Install"
    " django-template-partials and add `template_partials` to INSTALLED_APPS, or publish a template"
    " of its own."
)


class Html(Event, name="html"):
    """A fragment of a page. `name` is the part of the template that it was rendered from."""

    html: str
    name: str = ""


class Refresh(Event, name="refresh"):
    """Pages fetch themselves again, each at a random time `within` so many seconds."""

    id: str
    within: float = 0


OWN = (Html, Refresh)


class HtmlPublishing(Publishing):
    """The methods that publish HTML; each has an async twin with the prefix `a`.

    The class needs `keep`: a page subscribes some moments after it was rendered, and must not miss
    what was published in between. Raises `ImproperlyConfigured` without it.
    """

    def publish_html(
        self,
        template: str,
        context: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        using: str | None = None,
    ) -> None:
        """Publish a fragment that a template renders, once for all subscribers.

        `template` is the name of a template, or `page.html#part` for a part of one. It is rendered
        now, without a request, and published as `publish` does. With `key`, the `id` of the
        element, only the latest fragment of it is stored. Raises `InvalidEvent` for a fragment of
        more than 64 KiB.
        """
        self._check_kept("HTML")
        self._check_thread("publish_html")
        event = fragment(template, context)
        with _limited(template):
            if key is None:
                self.publish(event, using=using)
            else:
                self.set(key, event, using=using)

    async def apublish_html(
        self,
        template: str,
        context: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        using: str | None = None,
    ) -> None:
        """Publish a fragment, which a thread renders, so the template may read the database."""
        self._check_kept("HTML")
        event = await sync_to_async(fragment)(template, context)
        with _limited(template):
            if key is None:
                await self.apublish(event, using=using)
            else:
                await self.aset(key, event, using=using)

    def remove_html(self, key: str, *, using: str | None = None) -> None:
        """Remove the element with this `id` from pages, whether it was published or not."""
        self._check_kept("HTML")
        self._check_thread("remove_html")
        store([self._removal(key)], using)

    async def aremove_html(self, key: str, *, using: str | None = None) -> None:
        """Remove the element with this `id` from pages."""
        await sync_to_async(self.remove_html)(key, using=using)

    def refresh(self, *, within: float = 0, using: str | None = None) -> None:
        """Have the pages fetch themselves again, as the user of each may see them.

        However often it is called, a page that was away fetches itself once. With `within`, pages
        spread their requests over so many seconds.
        """
        self._check_kept("pages")
        self.set(REFRESH_KEY, _refresh(within), using=using)

    async def arefresh(self, *, within: float = 0, using: str | None = None) -> None:
        """Have the pages fetch themselves again."""
        self._check_kept("pages")
        await self.aset(REFRESH_KEY, _refresh(within), using=using)

    def _removal(self, key: str) -> EntryDraft:
        return EntryDraft(topic=self.name, kind=Kind.DELETE, key=key, type=name_of(Html))

    @classmethod
    def event_named(cls, name: str) -> type[Event] | None:
        """Return the event with a name: one of the class, or of this module."""
        own = {name_of(event): event for event in OWN}
        return super().event_named(name) or own.get(name)

    @classmethod
    def _check_event(cls, event: Event) -> None:
        if type(event) not in OWN:
            super()._check_event(event)
        elif other := super().event_named(name_of(type(event))):
            fault = (
                f"{cls.__qualname__} lists {other.__name__}, which has the name of another event"
            )
            raise TypeError(f"{fault}: write `class {other.__name__}(Event, name=…)`.")


def render(template: str, context: Mapping[str, Any] | None) -> str:
    """Return what a template or a part of it renders to, the same for all users."""
    has_partials = HAS_PARTIALS or apps.is_installed("template_partials")
    if "#" in template and not has_partials:
        raise ImproperlyConfigured(NO_PARTIALS.format(template))
    return render_to_string(template, dict(context or {}))


def fragment(template: str, context: Mapping[str, Any] | None) -> Html:
    """Return the event with a fragment of a template."""
    return Html(render(template, context), template.partition("#")[2])


@contextmanager
def _limited(template: str) -> Iterator[None]:
    """Name the template whose fragment is too large."""
    try:
        yield
    except EventTooLarge as error:
        advice = "Publish a smaller part, or call `refresh`."
        raise EventTooLarge(f"The fragment of {template} is too large. {error} {advice}") from None


def _refresh(within: float) -> Refresh:
    if not 0 <= within <= MAX_WITHIN:
        raise ValueError(f"within must be 0 to {MAX_WITHIN} seconds, not {within!r}.")
    return Refresh(secrets.token_hex(8), within)
