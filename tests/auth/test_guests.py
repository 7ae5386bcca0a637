"""Guests: a name that can be shown, and an identity that only its token gives back."""

import pytest
from django.core import signing
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from realtime.auth import guests
from realtime.auth.guests import clean_name, new_guest, read_token, renamed, token_of
from realtime.store.accounts.identity import Identity

ADA = Identity("guest:0123456789abcdef", "Ada")


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("Ada", "Ada"),
        ("  Ada \n\t Lovelace ", "Ada Lovelace"),
        ("\u202eAda\u202c", "Ada"),
        ("A\u200bd\u2066a\u2069", "Ada"),
        ("A\x00d\x07a\x7f", "Ada"),
        ("Ada\u2028Byron", "Ada Byron"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("שָׂרָה", "שָׂרָה"),
        ("😀", "😀"),
        ("x" * 41, "x" * 40),
        ("x" * 39 + " y", "x" * 39),
        ("<b>Ada</b>", "<b>Ada</b>"),
    ],
)
def test_a_name_is_one_line_that_can_be_shown(given_name: str, kept: str) -> None:
    """Without control and direction marks, at most 40 characters."""
    assert clean_name(given_name) in (kept, kept.strip())
    assert renamed(ADA, given_name).user_id == ADA.user_id


@pytest.mark.parametrize("name", ["", "   ", "\u202e", "\u200b\u200c", "\x00", "\u2028"])
def test_a_name_of_nothing_is_refused(name: str) -> None:
    """Nobody is invisible."""
    with pytest.raises(ValueError, match="name"):
        renamed(ADA, name)


@given(st.text())
def test_any_text_makes_a_clean_name(text: str) -> None:
    """Cleaning twice changes nothing; nothing of the control categories is left."""
    name = clean_name(text)
    assert clean_name(name) == name
    assert len(name) <= guests.NAME_CHARACTERS
    assert name == name.strip()
    assert "\n" not in name
    assert "\u202e" not in name


def test_every_new_guest_is_somebody_else() -> None:
    """Known to be a guest by the id."""
    made = [new_guest() for _ in range(50)]
    assert len({one.user_id for one in made}) == 50
    assert all(one.user_id.startswith("guest:") and one.is_guest and one.username for one in made)


def test_a_token_gives_back_the_same_guest() -> None:
    """Id and name."""
    assert read_token(token_of(ADA)) == ADA


def forged() -> dict[str, str]:
    token = token_of(ADA)
    value, _, signature = token.rpartition(":")
    return {
        "empty": "",
        "noise": "noise",
        "cut": token[:-1],
        "another value": "x" + token,
        "no signature": value,
        "another salt": signing.dumps([ADA.user_id, ADA.username], salt="other"),
        "another key": signing.dumps([ADA.user_id, ADA.username], key="other", salt=guests.SALT),
        "another shape": signing.dumps("guest:1", salt=guests.SALT),
        "three parts": signing.dumps(["guest:1", "Ada", 1], salt=guests.SALT),
        "bytes": "\udce9" + token,
        "NUL": token + "\x00",
        "signature of another": value + ":" + token_of(new_guest()).rpartition(":")[2],
        "huge": "x" * 100_000,
        "swapped": signature + ":" + value,
    }


@pytest.mark.parametrize("name", forged())
def test_a_forged_token_is_nobodys(name: str) -> None:
    """Refused alike, whatever is wrong with it."""
    assert read_token(forged()[name]) is None


def test_another_secret_key_ends_all_tokens(settings: Settings) -> None:
    """Unless the old one is kept as a fallback, as Django does for sessions."""
    token, old = token_of(ADA), settings.SECRET_KEY
    settings.SECRET_KEY = "another"
    assert read_token(token) is None
    settings.SECRET_KEY_FALLBACKS = [old]
    assert read_token(token) == ADA
