"""Sentences for people, which are translated where the language of the reader is known."""

from collections.abc import Callable
from typing import ClassVar

__all__ = ["Text"]


class Text:
    """A sentence in English, by which translators find it, and the values of its `{names}`.

    Import it as `_`, so that `makemessages` finds the sentence. Use it in `wire`, and for errors
    that clients can cause in any number; use Django's `gettext_lazy` elsewhere. As a string it is
    in the active language, like a lazy translation.
    """

    __slots__ = ("english", "values")

    to_active: ClassVar[Callable[[str], str]] = str
    """Translates to the active language; the app sets Django's `gettext`."""

    def __init__(self, english: str, **values: object) -> None:
        self.english = english
        self.values = values

    def translated(self, translate: Callable[[str], str]) -> str:
        """Return the sentence as `translate` gives it, with its values."""
        sentence = translate(self.english)
        return sentence.format(**self.values) if self.values else sentence

    def __str__(self) -> str:
        return self.translated(Text.to_active)

    def __repr__(self) -> str:
        return repr(self.translated(str))
