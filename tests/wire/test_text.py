"""Sentences that the wire cannot translate itself."""

from realtime.wire.text import Text


def test_a_sentence_is_english_until_it_is_translated() -> None:
    assert str(Text("Numbers must be finite.")) == "Numbers must be finite."


def test_its_values_stand_in_the_translation() -> None:
    """Wherever the other language puts them; what looks like a place in a value is none."""
    text = Text("{name} has {number} keys.", name="{number}", number=2)
    assert str(text) == "{number} has 2 keys."
    assert text.translated(lambda _: "{number} Schlüssel: {name}") == "2 Schlüssel: {number}"


def test_its_repr_is_the_english_sentence() -> None:
    """So that an error is understood in a log or a shell."""
    assert repr(Text("It has {number} keys.", number=2)) == "'It has 2 keys.'"


def test_braces_of_a_sentence_without_values_are_its_own() -> None:
    assert str(Text("Send {}.")) == "Send {}."
