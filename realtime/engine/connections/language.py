"""The language of a client, as Django chooses that of a page, and sentences in it."""

import logging
import re
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_language_from_request, gettext, override

from ...logs import count_or_pass, get_logger
from ...wire.errors import REASONS, CloseCode
from ...wire.text import Text

__all__ = ["language_of", "translated"]

logger = get_logger("realtime.language")

MIDDLEWARE = "django.middleware.locale.LocaleMiddleware"
"""The middleware by which a site lets clients choose the language."""
HEADER_CHARACTERS = 500
"""The examined part of `Accept-Language`, as in Django."""
LANGUAGE_CHARACTERS = 64
"""The longest language in a cookie."""
FAILED = "a sentence cannot be translated to %r, so its English text is used"


def language_of(scope: dict[str, Any]) -> str:
    """Return the language that the site would use for a page with the headers of this handshake.

    It is that of the cookie or of `Accept-Language` if the site has Django's `LocaleMiddleware`,
    else `LANGUAGE_CODE`. Django accepts only languages of `LANGUAGES` that have a catalog, and
    reads it when the first client needs it, in about 10 ms.
    """
    if not settings.USE_I18N or MIDDLEWARE not in settings.MIDDLEWARE:
        return settings.LANGUAGE_CODE
    request = HttpRequest()
    if found := _cookie(scope):
        request.COOKIES[settings.LANGUAGE_COOKIE_NAME] = found
    request.META["HTTP_ACCEPT_LANGUAGE"] = _accepted(scope)
    return get_language_from_request(request)


def translated(sentence: object, language: str | None) -> str:
    """Return a sentence in a language: a `Text`, a lazy translation of Django, or a string.

    Without a language it is that of the site. A translation that fails must not keep a client
    connected or without a reply: then the text is English. Clients can cause any number of errors.
    A `Text` costs a microsecond, a lazy translation ten.
    """
    language = language or settings.LANGUAGE_CODE
    try:
        text = _in_language(sentence, language)
    except Exception as error:
        _log_failure(language, error)
        text = _in_english(sentence)
    # A lone surrogate, which only a site's own text can have, cannot be encoded.
    return text if text.isascii() else text.encode(errors="replace").decode()


def _in_language(sentence: object, language: str) -> str:
    if type(sentence) is str:
        return sentence
    if isinstance(sentence, Text):
        return sentence.translated(lambda english: _translation(english, language))
    with override(language):
        return str.__str__(str(sentence))  # msgspec encodes no subclass, such as `SafeString`


def _in_english(sentence: object) -> str:
    try:
        if isinstance(sentence, Text):
            return sentence.translated(str)
        with override(None):  # no catalog at all
            return str.__str__(str(sentence))
    except Exception as error:
        _log_failure("en", error)
        return REASONS[CloseCode.INTERNAL].translated(str)


def _log_failure(language: str, error: Exception) -> None:
    if count_or_pass(logger, logging.ERROR, FAILED, language):
        logger.error(FAILED, language, exc_info=error, extra={"kind": language})


@lru_cache(1000)
def _translation(english: str, language: str) -> str:
    with override(language):
        return gettext(english)


def _cookie(scope: dict[str, Any]) -> str | None:
    """Return the value of the language cookie.

    All other cookies are skipped: decoding quoted ones takes quadratic time in some versions of
    Python. HTTP/2 lets a browser send each cookie in a header of its own (RFC 9113, section
    8.2.3), and Daphne joins them with commas.
    """
    name = re.escape(settings.LANGUAGE_COOKIE_NAME)
    value = rf'"?([\w@-]{{1,{LANGUAGE_CHARACTERS}}})"?'
    found = re.findall(
        rf"(?:^|[;,])\s*{name}\s*=\s*{value}\s*(?=[;,]|$)", _header(scope, b"cookie")
    )
    return found[-1].lower() if found else None  # Django keeps a catalog for each spelling


def _accepted(scope: dict[str, Any]) -> str:
    text = _header(scope, b"accept-language")
    if len(text) <= HEADER_CHARACTERS:
        return text
    return text[:HEADER_CHARACTERS].rpartition(",")[0]


def _header(scope: dict[str, Any], wanted: bytes) -> str:
    found = [value for name, value in scope.get("headers", ()) if name == wanted]
    return b",".join(found).decode("latin1")
