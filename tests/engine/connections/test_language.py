"""The language of a client is the one that Django would use for a page."""

import logging
import time
from typing import Any

import pytest
from django.utils.functional import lazy
from django.utils.safestring import mark_safe
from django.utils.text import format_lazy
from django.utils.translation import get_language, gettext_lazy, override, trans_real

from realtime.engine.connections.language import MIDDLEWARE, language_of, translated
from realtime.wire.text import Text

Headers = list[tuple[bytes, bytes]]
GERMAN: Headers = [(b"accept-language", b"fr-XX;q=0.2, de-CH, en;q=0.5")]
COOKIE = (b"cookie", b"a=b; django_language=de")


@pytest.mark.parametrize(
    ("headers", "language"),
    [
        ([], "en"),
        (GERMAN, "de-ch"),
        ([COOKIE], "de"),
        ([*GERMAN, (b"cookie", b"django_language=fr")], "fr"),
        ([(b"cookie", b"a=b"), COOKIE], "de"),
        ([*GERMAN, (b"cookie", b"django_language=nonsense")], "de-ch"),
        ([(b"accept-language", b"\xff\xfe, ;q=;")], "en"),
        ([(b"accept-language", b"fr," + b"de;q=0.5," * 9999)], "fr"),
        ([(b"accept-language", b"f" * 9999)], "en"),
        ([(b"cookie", b'x=" ; django_language="de" ; y=1')], "de"),
        ([(b"cookie", b"x=1,django_language=fr")], "fr"),
        ([(b"cookie", b"django_language=dE")], "de"),  # one catalog for all spellings
        ([(b"cookie", b"django_language=fr; my_django_language=de")], "fr"),
        ([(b"cookie", b"django_language=" + b"de-" * 9999)], "en"),
    ],
)
def test_the_cookie_comes_before_the_browser(
    settings: Any, headers: Headers, language: str
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]
    settings.LANGUAGES = [("de", ""), ("de-ch", ""), ("en", ""), ("fr", "")]
    assert language_of({"headers": headers}) == language


@pytest.mark.parametrize("is_translated", [True, False])
def test_a_site_whose_pages_have_one_language_has_it_here(
    settings: Any, is_translated: bool
) -> None:
    settings.LANGUAGE_CODE = "fr"
    settings.USE_I18N = is_translated
    if not is_translated:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]
    assert language_of({"headers": GERMAN}) == "fr"
    assert language_of({}) == "fr"


@pytest.mark.parametrize(
    ("sentence", "german"),
    [
        (Text("A frame may have at most {number} bytes.", number=9), "höchstens 9 Bytes"),
        (gettext_lazy("There is no such room."), "Diesen Raum gibt es nicht."),
        ("There is no such room.", "There is no such room."),
        (Text("Of a site."), "Of a site."),
    ],
)
def test_a_sentence_is_translated_and_the_language_stays(sentence: object, german: str) -> None:
    """Text of users is none: what a moderator has written stays as it is."""
    with override("fr"):
        assert german in translated(sentence, "de")
        assert get_language() == "fr"


@pytest.mark.alone
@pytest.mark.parametrize(
    "cookie",
    [b'a="' + b"\\" * 16000 + b'"', b'a="\\";' * 2600, b";" * 16000, b"; " * 8000],
    ids=["backslashes", "quotes", "separators", "spaces"],
)
def test_hostile_cookies_are_not_decoded(settings: Any, cookie: bytes) -> None:
    """`http.cookies` needs more than half a second for the first one on some versions."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]
    scope = {"headers": [*GERMAN, (b"cookie", cookie)]}
    language_of(scope)
    began = time.perf_counter()
    assert language_of(scope) == "de"
    assert time.perf_counter() - began < 0.01


def fail() -> str:
    raise RuntimeError("a translation")


BANNED = "You are banned until {end}."
FAILING = {
    "a lazy translation": (format_lazy(gettext_lazy(BANNED), end=9), "You are banned until 9."),
    "a text": (Text(BANNED, end=9), "You are banned until 9."),
    "of no language": (lazy(fail, str)(), "There was an unexpected error on the server."),
    "another place": (Text("{a} and {b}", a=1), "There was an unexpected error on the server."),
}


@pytest.mark.parametrize(("sentence", "text"), FAILING.values(), ids=FAILING)
def test_a_translation_that_fails_is_english(
    sentence: object, text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong place in a catalog of the site is logged, and raises nothing."""
    catalog = trans_real.translation("da")._catalog
    monkeypatch.setattr(catalog, "_catalogs", [{BANNED: "Til {slut}."}, *catalog._catalogs])
    with caplog.at_level(logging.ERROR, "realtime.language"):
        assert translated(sentence, "da") == text
        assert translated(sentence, "da") == text
    languages = [record.args for record in caplog.records]
    assert languages.count(("da",)) == 1
    assert all(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("language", ["xx", "zh_CN"])
def test_a_site_whose_language_has_no_catalog_sends_english(settings: Any, language: str) -> None:
    """Django translates nothing there, so a lazy translation has no text at all."""
    settings.LANGUAGE_CODE = language
    text = "There was an unexpected error on the server."
    assert translated(Text("Sign in first."), language) == "Sign in first."
    assert translated(gettext_lazy("Sign in first."), language) == text


def test_without_a_language_it_is_that_of_the_site(settings: Any) -> None:
    settings.LANGUAGE_CODE = "de"
    assert translated(gettext_lazy("There is no such room."), None) == "Diesen Raum gibt es nicht."


@pytest.mark.parametrize(
    "sentence",
    [mark_safe("<b>"), gettext_lazy(mark_safe("<b>")), format_lazy("{}", mark_safe("<b>"))],
)
def test_a_translation_is_a_plain_string(sentence: object) -> None:
    """No encoder takes a `SafeString`."""
    assert type(translated(sentence, "de")) is str
