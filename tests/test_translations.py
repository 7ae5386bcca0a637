"""Texts for people: each can be translated, and the German catalog has all of them."""

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils.translation import override
from django.utils.translation.template import templatize

from realtime import push
from realtime.errors import CloseCode, CommandError, Disconnect, ErrorCode
from realtime.store.rooms.access import unknown

PACKAGE = Path(__file__).parent.parent / "realtime"
CATALOG = PACKAGE / "locale" / "de" / "LC_MESSAGES" / "django.po"
MARKS = {"_": 1, "gettext": 1, "gettext_lazy": 1, "ngettext": 2}
"""The functions that mark a text, and how many texts each takes."""
ERRORS = ("auth", "consumers", "engine", "store", "topics", "wire")
"""The folders whose texts are all told to clients."""
POSITIONS = {"CommandError": 1, "Disconnect": 1, "denied": 0, "_denied": 0, "_invalid": 0}
"""Where what makes an error takes its text."""


def calls_in(source: str) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "id", getattr(node.func, "attr", "")), node


def texts_in(source: str) -> Iterator[str]:
    """The marked texts of a module."""
    for name, call in calls_in(source):
        for one in call.args[: MARKS.get(name, 0)]:
            if isinstance(one, ast.Constant) and isinstance(one.value, str):
                yield one.value


def texts_of(*folders: str) -> set[str]:
    """The marked texts of modules, and of templates."""
    paths = [path for folder in folders for path in (PACKAGE / folder).rglob("*.py")]
    found = {text for path in paths for text in texts_in(path.read_text())}
    for path in (PACKAGE / "templates").rglob("*.html") if "" in folders else ():
        calls = re.findall(r"gettext\((.*?)\) ", templatize(path.read_text()))
        found |= {one for call in calls for one in re.findall(r"u'(.*?)'", call)}
    return found


def entries() -> Iterator[tuple[list[str], list[str]]]:
    """Each text of the catalog, or its singular and its plural, with the translations."""
    text = re.sub(r'"\n"', "", CATALOG.read_text())
    for block in text.split("\n\n")[1:]:
        strings = re.findall(r'^(msg[a-z_]+)(?:\[\d\])? (".*")$', block, re.MULTILINE)
        texts = [ast.literal_eval(one) for name, one in strings if name.startswith("msgid")]
        yield texts, [ast.literal_eval(one) for name, one in strings if name == "msgstr"]


def places_in(texts: list[str]) -> set[str]:
    return set(re.findall(r"\{\w*\}|%\(\w+\)[a-z]|%[a-z]", " ".join(texts)))


def test_every_error_is_in_the_german_catalog() -> None:
    """`docs/development.md` says how to add one."""
    assert texts_of(*ERRORS) - {text for texts, _ in entries() for text in texts} == set()


def test_a_translation_has_what_the_text_has() -> None:
    for texts, translations in entries():
        assert len(translations) == len(texts)
        assert all(translations), texts
        assert places_in(translations) == places_in(texts)
        assert {one[-1] == "." for one in translations} == {texts[0][-1] == "."}, texts


def test_the_compiled_catalog_is_the_written_one() -> None:
    with CATALOG.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for texts, translations in entries():
        found = [compiled.ngettext(texts[0], texts[-1], number) for number in (1, 2)]
        assert translations == (found if len(texts) > 1 else [compiled.gettext(texts[0])])


def test_what_a_client_is_told_is_a_sentence() -> None:
    texts = texts_of(*ERRORS)
    assert {text for text in texts if not re.fullmatch(r"[A-Z{].*[.?]", text)} == set()
    assert {text for text in texts if ";" in text} == set()


def test_no_error_has_a_text_that_cannot_be_translated() -> None:
    calls = [one for path in PACKAGE.rglob("*.py") for one in calls_in(path.read_text())]
    placed = [(call, POSITIONS.get(name, len(call.args))) for name, call in calls]
    texts = [(call, call.args[place]) for call, place in placed if place < len(call.args)]
    fixed = [call for call, text in texts if isinstance(text, ast.Constant | ast.JoinedStr)]
    assert [ast.unparse(call) for call in fixed] == []


def test_an_error_tells_itself_in_the_language_of_the_reader() -> None:
    """As a page of the site shows it; and a site's own lazy text alike."""
    error = unknown("general")
    assert error.message == "There is no such room."
    with override("de"):
        assert error.message == "Diesen Raum gibt es nicht."
        assert (
            str(CommandError(ErrorCode.INTERNAL, error.text))
            == "internal: Diesen Raum gibt es nicht."
        )


@pytest.mark.parametrize(("language", "is_german"), [("en", False), ("de", True)])
def test_python_code_gets_all_errors_in_the_active_language(language: str, is_german: bool) -> None:
    """Those of the wire as those of the store."""
    found = [Disconnect(CloseCode.KICKED).reason]
    data: object
    for data in ({"a": float("nan")}, {"a": "\x00"}, [1], {"a": object()}):
        with override(language), pytest.raises(CommandError) as caught:
            push.everyone().send(data)  # type: ignore[arg-type]
        with override(language):
            found.append(caught.value.message)
    with override(language):
        found[0] = Disconnect(CloseCode.KICKED).reason
    german = re.compile("müssen|darf|dürfen|Daten|Administrator hat|keine")
    assert [german.search(text) is not None for text in found] == [is_german] * 5
