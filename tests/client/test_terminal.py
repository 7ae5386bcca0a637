"""Events as lines for people and programs, and the file with positions."""

import json
from pathlib import Path

import pytest

from realtime.client import MessageEvent, Reset, TopicEvent
from realtime.client.terminal import keep, kept, print_json, print_line
from tests.client.scripted import CREATED


def said(content: str) -> MessageEvent:
    fields = {"room": "r", "seq": 1, "id": 1, "user_id": "1", "created_at": CREATED}
    return MessageEvent(**fields, username="Ada", content=content)  # type: ignore[arg-type]


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_line(said("a\x1b[31m\nb\u202e"))
    line = capsys.readouterr().out
    assert line.startswith("00:00 Ada: a")
    assert line.count("\n") == 1
    assert not {"\x1b", "\u202e"} & set(line)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (Reset(3), {"type": "reset", "missed": 3}),
        (
            TopicEvent("paid", {"total": 1}, seq=2, key="k", is_deleted=True),
            {
                "type": "event",
                "name": "paid",
                "data": {"total": 1},
                "seq": 2,
                "key": "k",
                "deleted": True,
            },
        ),
    ],
)
def test_a_program_gets_lines_of_json(
    capfdbinary: pytest.CaptureFixture[bytes], event: object, fields: object
) -> None:
    print_json(event)
    assert json.loads(capfdbinary.readouterr().out) == fields


def test_positions_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    assert kept(file) == {}
    for seq in (1, 2):
        keep(file, {"room r": {"seq": seq, "epoch": "e"}})
    assert kept(file) == {"room r": {"seq": 2, "epoch": "e"}}
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"room r": 1}'])
def test_a_file_with_something_else_is_an_error(tmp_path: Path, content: str) -> None:
    """An empty file is no beginning: events would be missed."""
    file = tmp_path / "state.json"
    file.write_text(content)
    with pytest.raises(ValueError, match="does not hold positions"):
        kept(file)
