"""The paths of topics: Django's path syntax and converters, both ways.

The name of a topic is the path with its values, as the converters write them: `order/007` is the
topic `order/7`.
"""

import re
import unicodedata
from functools import cached_property
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model
from django.urls.converters import IntConverter
from django.urls.resolvers import RoutePattern

from ..logs import get_logger
from ..wire.commands import TOPIC_CHARACTERS

__all__ = ["PARAMETER", "Path", "is_name"]

logger = get_logger("realtime.topics")

PARAMETER = re.compile(r"<(?:(?P<converter>[^>:]+):)?(?P<name>[^>]+)>")
MAX_INTEGER = 2**63 - 1
"""The largest integer of a database column."""
MAX_DIGITS = 19
FAILED = "a converter of %r has failed; a name that it cannot read has to raise ValueError"
CONTROL = ("Cc", "Cs")
"""The categories of Unicode that no name may have: control characters and surrogates."""


def is_name(name: str) -> bool:
    """Return whether a topic may have this name, whatever its class is."""
    if not 0 < len(name) <= TOPIC_CHARACTERS:
        return False
    if name.isascii():
        return name.isprintable()
    is_clean = not any(unicodedata.category(one) in CONTROL for one in name)
    return is_clean and unicodedata.is_normalized("NFC", name)


class Path:
    """A path such as `order/<int:pk>`; its converters are found when it is first used.

    An unknown converter or a wrong path raises `ImproperlyConfigured` then.
    """

    def __init__(self, route: str) -> None:
        self.route = route
        self._prefix = str(route).partition("<")[0]
        self._has_failed = False

    @cached_property
    def pattern(self) -> RoutePattern:
        """The path as Django's URLs have it."""
        try:
            return RoutePattern(self.route, is_endpoint=True)
        except ImproperlyConfigured:
            # A site may register converters in its URLs, which no page may have needed yet.
            import_module(str(settings.ROOT_URLCONF))
            return RoutePattern(self.route, is_endpoint=True)

    @property
    def parameters(self) -> list[str]:
        """The names of the values in this path."""
        return list(self.pattern.converters)

    def match(self, name: str) -> dict[str, Any] | None:
        """Return the values in the name of a topic, or None if it is not of this path."""
        if not (name.startswith(self._prefix) and is_name(name)):  # the first is much faster
            return None
        found = self.pattern.regex.search(name)
        if found is None:
            return None
        texts = found.groupdict()
        if not all(map(self._is_in_range, texts, texts.values())):
            return None
        try:
            values = {key: self._converted(key, text) for key, text in texts.items()}
        except ValueError:
            return None
        except Exception as error:
            self.log_failure(error)
            return None
        return None if any(map(_is_large, values.values())) else values

    def log_failure(self, error: Exception) -> None:
        """Log an exception of a converter, once: clients can cause it at any rate."""
        if not self._has_failed:
            self._has_failed = True
            logger.error(FAILED, self.route, exc_info=error)

    def name(self, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the name for these values, and the values as the converters read them.

        Raises `TypeError` for missing and unknown values, and `ValueError` for values that this
        path cannot have.
        """
        self._check_parameters(values)
        texts = {key: self.text(key, value) for key, value in values.items()}
        found = self.match(self._filled(texts))
        if found is None or any(self._converted(key, texts[key]) != found[key] for key in texts):
            shown = ", ".join(f"{key}={value!r}" for key, value in values.items())
            raise ValueError(f"{self.route!r} has no topic for {shown}.")
        return self.canonical(found), found

    def canonical(self, values: dict[str, Any]) -> str:
        """Return the one name for the values that `match` has returned. Raises `ValueError`."""
        name = self._filled({key: self.text(key, value) for key, value in values.items()})
        if not is_name(name):
            raise ValueError(f"{name!r} cannot be the name of a topic.")
        return name

    def _filled(self, texts: dict[str, str]) -> str:
        return PARAMETER.sub(lambda found: texts[found["name"]], self.route)

    def text(self, key: str, value: Any) -> str:
        """Return a value as its converter writes it. Raises `ValueError`."""
        if value is None or isinstance(value, Model):
            hint = "save the object first" if value is None else f"write {key}=….pk"
            raise ValueError(f"{self.route!r} cannot have {key}={value!r}: {hint}.")
        text: str = self.pattern.converters[key].to_url(value)
        return text

    def _converted(self, key: str, text: str) -> Any:
        return self.pattern.converters[key].to_python(text)

    def _is_in_range(self, key: str, text: str) -> bool:
        """Check digits before they become a number; each connection may send any number of them."""
        if not isinstance(self.pattern.converters[key], IntConverter):
            return True
        return len(text.lstrip("0")) <= MAX_DIGITS and not _is_large(int(text))

    def _check_parameters(self, values: dict[str, Any]) -> None:
        if values.keys() != self.pattern.converters.keys():
            needs, given = ", ".join(self.parameters) or "nothing", ", ".join(values) or "nothing"
            raise TypeError(f"The topic {self.route!r} takes {needs}, not {given}.")


def _is_large(value: Any) -> bool:
    return isinstance(value, int) and abs(value) > MAX_INTEGER
