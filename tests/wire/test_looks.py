"""Names that look alike have one skeleton; what cannot be seen is dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.conf import Config
from realtime.wire.looks import (
    MARKS,
    clean_line,
    is_reserved,
    is_visible,
    looks,
    looks_without_additions,
    skeleton,
)

RESERVED = Config().reserved_names
LIKE_ALICE = {
    "upper case": "ALICE",
    "a capital i": "aIice",
    "a digit": "a1ice",
    "a bar": "al|ce",
    "Cyrillic": "\u0430lice",
    "Greek capitals": "\u0391L\u0399CE",
    "an accent": "\u01celice",
    "a dotless i": "al\u0131ce",
    "zero width": "alice\u200b",
    "a soft hyphen": "al\u00adice",
    "a grapheme joiner": "alice\u034f",
    "a variation selector": "alice\ufe0f",
    "full width": "\uff41lice",
    "an Arabic number sign": "alice\u0600",
    "a mark that folds to a letter": "ali\u0345ce",
    "a Khmer vowel that is not drawn": "alice\u17b5",
    "a Hangul filler": "ali\u3164ce",
    "a blank": "alice\u2800",
    "circled": "\u24d0\u24db\u24d8\u24d2\u24d4",
    "squared": "\U0001f170lice",
    "mathematical": "\U0001d4ea\U0001d4f5\U0001d4f2\U0001d4ec\U0001d4ee",
    "spaced": "a l i c e",
    "punctuated": ".al-ice_",
    "decorated": "\u2b50 alice \u2714",
    "with a title": "alice (moderator)",
    "with another title": "alice [the real one]",
    "with a title in wide brackets": "alice\uff08bot\uff09",
    "with a title in corners": "\u300ctrue\u300d alice",
    "with a title in angles": "alice \u27e8x\u27e9",
    "with a title in quotation marks": "alice \u201ctrue\u201d \u00abx\u00bb",
    "with a title in nested brackets": "alice [(x) y]",
    "with a title that does not end": "alice (the real",
    "with a trade mark": "alice\u2122",
    "with a raised letter": "alice\u1d43 (x)",
    "with an object that is not there": "alice\ufffc",
    "lengthened": "al\u0640ice",
    "turned around": "\u202ealice\u202c",
}


@pytest.mark.parametrize("name", LIKE_ALICE.values(), ids=LIKE_ALICE)
def test_a_name_that_looks_like_another_is_found(name: str) -> None:
    """As it is sent, and as it is shown."""
    for form in (name, clean_line(name, 40)):
        assert looks_without_additions(form) & looks("alice")


@pytest.mark.parametrize(
    "other",
    [
        "alicia",
        "bob",
        "(bob) al",
        "O\u2019alice",
        "\u24d0",
        "al",
        "Alice Smith",
        "malice",
        "\u4e2d\u6587",
        "\U0001f600",
        "1",
    ],
)
def test_another_name_is_another_one(other: str) -> None:
    assert not looks_without_additions(other) & looks("alice")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u0930\u093e\u092e", "\u0930\u092e\u093e"),
        ("\u0938\u0941\u092e\u0928", "\u0938\u092e\u0928"),
        ("\u5c71\u7530", "\u5c71\u672c"),
        ("\U0001f600", "\U0001f601"),
        ("Nina", "Vina"),
    ],
)
def test_names_of_other_scripts_are_told_apart(one: str, other: str) -> None:
    """A vowel sign is a letter to its readers."""
    assert not looks(one) & looks(other)


def test_a_name_in_the_other_case_is_the_same() -> None:
    """Also where the capital letter looks like one of another script and the small one does not."""
    assert looks("\u039d\u03af\u03ba\u03bf\u03c2") & looks("\u03bd\u03af\u03ba\u03bf\u03c2")
    assert looks("\u039dina") & looks("Nina")


@pytest.mark.parametrize(
    "name",
    [
        "admin",
        "ADMIN",
        "\u0430dmin",
        "\u2b50 admin \u2714",
        "alice (moderator)",
        "a.d.m.i.n",
        "admin99",
        "Admin Bob",
        "SiteAdmin",
        "@dm1n",
        "m0derat0r",
        "Realtime",
        "the staff",
        "supp\u043ert",
    ],
)
def test_a_reserved_name_is_found_in_every_form(name: str) -> None:
    assert is_reserved(name, RESERVED)


@pytest.mark.parametrize("name", ["Ada", "badminton", "Mo", "Teamo", "modest", "\U0001f600", ""])
def test_other_names_are_not_reserved(name: str) -> None:
    assert not is_reserved(name, RESERVED)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "\u3164",
        "\u2800",
        "\u115f\u1160",
        "\u180e",
        "\u200d\u200d",
        "\u17b5",
        "\ufffc",
        "...",
        "\u0301",
    ],
)
def test_a_name_of_nothing_is_not_visible(name: str) -> None:
    assert not is_visible(clean_line(name, 40))


@pytest.mark.parametrize("name", ["Ada", "\u05e9\u05b8\u05c1\u05e8\u05b8\u05d4", "\U0001f600", "7"])
def test_a_letter_a_number_or_a_symbol_is_visible(name: str) -> None:
    assert is_visible(clean_line(name, 40))


def test_combining_marks_are_bounded() -> None:
    """A name does not reach into the lines above and below."""
    assert clean_line("a" + "\u0301" * 40 + "b", 40) == "\u00e1" + "\u0301" * MARKS + "b"
    assert clean_line("\u0301\u0301Ada", 40) == "Ada"


def test_an_emoji_keeps_its_style() -> None:
    assert clean_line("\u2764\ufe0f", 40) == "\u2764\ufe0f"


@given(st.text())
def test_any_text_is_cleaned_once(text: str) -> None:
    """Cleaning twice changes nothing, and leaves nothing that is not drawn."""
    line = clean_line(text, 40)
    assert clean_line(line, 40) == line
    assert len(line) <= 40
    assert line == line.strip()


@given(st.text())
def test_any_text_has_a_look(text: str) -> None:
    """Without an error, and the same whatever case it is written in."""
    assert looks(text)
    assert skeleton(text) == skeleton(text)
