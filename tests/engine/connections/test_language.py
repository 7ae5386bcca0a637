"""The language of a client is the one that Django would use for a page."""

from typing import Any

import pytest
from django.utils.translation import get_language, gettext_lazy, override

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
