"""The standard input of commands: UTF-8 whatever the terminal has, and no traceback."""

import io
from typing import Any

import pytest
from django.core.management import CommandError

from realtime.management.standard_input import answer_to, is_terminal, standard_input
from realtime.models import Message, Room
from tests.management.conftest import run


def given(monkeypatch: pytest.MonkeyPatch, data: bytes, encoding: str = "latin-1") -> None:
    """Let a terminal of this encoding bring these bytes."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding=encoding))


def test_it_is_utf_8_in_each_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "Grüße 🎈".encode())
    with standard_input() as file:
        assert file.read() == "Grüße 🎈"


@pytest.mark.parametrize("data", [b"\xff", "Grüße".encode("latin-1"), b"\xed\xa0\x80", b"a\xc3"])
def test_other_bytes_are_an_error_of_the_caller(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    given(monkeypatch, data)
    with pytest.raises(CommandError, match="not UTF-8") as raised, standard_input() as file:
        file.read()
    assert raised.value.returncode == 2


def test_a_process_without_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert not is_terminal()
    with pytest.raises(CommandError, match="no standard input"), standard_input():
        pass


@pytest.mark.parametrize(("data", "answer"), [(b"", ""), (b"\xff\n", ""), (b" Yes\n", "yes")])
def test_an_unreadable_answer_is_none(
    monkeypatch: pytest.MonkeyPatch, data: bytes, answer: str
) -> None:
    given(monkeypatch, data, "utf-8")
    assert answer_to("Sure? ") == answer


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "arguments",
    [
        ["realtime_broadcast", "-", "--room", "general", "--message", "CI"],
        ["realtime_import", "-", "--room", "general"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_refuses_what_is_no_text(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    Room.objects.create(slug="general")
    given(monkeypatch, b"\xff\xfe")
    ran: Any = run(arguments[0], *arguments[1:])
    assert (ran.code, ran.error) == (2, "The standard input is not UTF-8 text.")
    assert not Message.objects.exists()
