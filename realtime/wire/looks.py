"""The look of names: clean text on one line, and skeletons by which names are compared.

Source: Unicode Technical Standard #39, whose table of confusable characters is `confusables.txt`
(made by `.ci/confusables.py`). This needs no database and no settings.
"""

import re
import string
import unicodedata
from collections.abc import Iterable
from functools import cache
from hashlib import blake2s
from pathlib import Path

__all__ = ["clean_line", "is_reserved", "is_visible", "look", "looks", "looks_without_additions"]

IGNORABLE = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
"""Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt: drawn as nothing."""
BLANK = frozenset("\u2800\ufffc\U00016fe4\U00013441\U00013442\U0001d159")
"""Characters of other categories that are drawn as nothing."""
STRETCHES = frozenset("\u0640\u07fa")
"""Letters that only lengthen the line between two others: tatweel, and the one of N'Ko."""
MARKS = 4
"""The most combining marks in a sequence (UTS #39, section 5.4)."""
LETTERS = (0x1F150, 0x1F170, 0x1F1E6)
"""Letters that are emoji, which Unicode does not count as variants of letters."""
CAPITALS = string.ascii_uppercase
EMOJI_STYLE = "\ufe0f"
APOSTROPHES = "\u2018\u2019\u201b"
RAISED = ("<super>", "<sub>")
CAMEL = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])")
DIGITS_FOR_LETTERS = str.maketrans("4@35$7", "aaesst")


def clean_line(text: str, most: int) -> str:
    """Put text on one line of at most `most` characters, without invisible characters.

    Control and direction marks, default-ignorable, blank and unassigned characters are dropped,
    and combining marks beyond four in a sequence.
    """
    if text.isascii() and text.isprintable():  # the usual case
        return " ".join(text.split())[:most].strip()
    shown: list[str] = []
    marks = 0
    for character in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(character)
        marks = marks + 1 if kind[0] == "M" else 0
        if _is_kept(character, kind, shown) and marks <= MARKS:
            shown.append(character)
    line = unicodedata.normalize("NFC", " ".join("".join(shown).split()))
    return line[:most].strip()


def _is_kept(character: str, kind: str, before: list[str]) -> bool:
    if character.isspace():
        return True
    if character == EMOJI_STYLE:
        return bool(before) and unicodedata.category(before[-1])[0] == "S"
    if kind[0] == "M" and (not before or before[-1].isspace()):
        return False  # it would be drawn on the character before the text
    return kind[0] != "C" and not _is_ignorable(character) and character not in BLANK


def is_visible(text: str) -> bool:
    """Return whether cleaned text has a letter, a number or a symbol."""
    return any(unicodedata.category(character)[0] in "LNS" for character in text)


def look(text: str) -> str:
    """Return a digest of the look of a name: equal for names that readers may confuse."""
    return _digest(skeleton(text))


def looks(text: str) -> set[str]:
    """Return the looks of a name as it is written, and in lower case.

    A capital and a small letter may look like different letters: those of the Greek nu are N and v.
    """
    return {look(text), look(text.casefold())}


def looks_without_additions(text: str) -> set[str]:
    """Return `looks`, also of the name without the parts that are in brackets or raised.

    "alice (moderator)" is alice, and so is alice with a trade mark sign.
    """
    low = "".join(one for one in text if not unicodedata.decomposition(one).startswith(RAISED))
    bare = {_without_brackets(text), low, _without_brackets(low)} - {text}
    return looks(text).union(*(looks(one) for one in bare if is_visible(one)))


def is_reserved(text: str, reserved: Iterable[str]) -> bool:
    """Return whether a name, or a word of it, looks like one of the `reserved` names."""
    known = _skeletons(tuple(reserved))
    words = [word for word in re.split(r"[\W_]+", CAMEL.sub(" ", text)) if word]
    parts = {text, *words, *(word.strip("0123456789") for word in words)}
    parts |= {part.translate(DIGITS_FOR_LETTERS) for part in parts}
    found = {skeleton(form) for part in parts if part for form in (part, part.casefold())}
    return not known.isdisjoint(found)


def skeleton(text: str) -> str:
    """Return the letters and numbers of a text as prototypes, equal for characters that look alike.

    A text without letters and numbers is represented by its other characters.
    """
    # The prototype of a capital may be a small letter, and the other way round: l and I.
    own = _bare(text).translate(_prototypes())
    drawn = _bare(own.casefold()).translate(_prototypes()).casefold().replace("i", "l")
    letters = "".join(one for one in drawn if one.isalnum() or unicodedata.category(one)[0] == "M")
    return letters or "".join(drawn.split())


def _bare(text: str) -> str:
    """Decompose compatibility characters, and drop accents and characters that are not drawn."""
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFKD", text)
    return "".join(character for character in apart if not _is_addition(character))


def _is_addition(character: str) -> bool:
    # Vowel signs of Indic scripts are of class 0: they are letters to their readers.
    if unicodedata.combining(character) or _is_ignorable(character):
        return True
    if character in BLANK or character in STRETCHES:
        return True
    return unicodedata.category(character) in ("Me", "Cf", "Cc")


def _is_ignorable(character: str) -> bool:
    code = ord(character)
    return code >= IGNORABLE[0][0] and any(start <= code <= end for start, end in IGNORABLE)


def _without_brackets(text: str) -> str:
    while (bare := _brackets().sub(" ", text)) != text:
        text = bare  # and again, for brackets around brackets
    return text


@cache
def _brackets() -> re.Pattern[str]:
    """Return a pattern for text in brackets or quotation marks of any script, closed or not."""
    kinds: dict[str, str] = {"Ps": "<", "Pi": "", "Pe": ">", "Pf": ""}
    for code in range(0x10000):
        if (kind := unicodedata.category(chr(code))) in kinds and chr(code) not in APOSTROPHES:
            kinds[kind] += chr(code)
    opening = re.escape(kinds["Ps"] + kinds["Pi"])
    closing = re.escape(kinds["Pe"] + kinds["Pf"])
    return re.compile(f"[{opening}][^{opening}{closing}]*(?:[{closing}]|$)")


@cache
def _prototypes() -> dict[int, str]:
    table = (Path(__file__).parent / "confusables.txt").read_text("utf-8").split("\n")
    found = {start + number: letter for start in LETTERS for number, letter in enumerate(CAPITALS)}
    for line in table:
        target, tab, sources = line.partition("\t")
        if tab:
            found |= dict.fromkeys(map(ord, sources), target)
    return found


@cache
def _skeletons(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(skeleton(form) for name in names for form in (name, name.casefold()))


def _digest(text: str) -> str:
    return blake2s(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
