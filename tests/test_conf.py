"""The one reader of `settings.REALTIME`, and the page that describes it."""

import ast
import inspect
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from realtime import conf
from realtime.conf import Config, config, known_keys

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"


def defaults() -> dict[str, Any]:
    return {
        field.name.upper(): (
            field.default if field.default_factory is MISSING else field.default_factory()
        )
        for field in fields(Config)
    }


def meanings() -> dict[str, str]:
    """What stands below each field of `Config`."""
    [node] = ast.parse(inspect.getsource(Config)).body
    assert isinstance(node, ast.ClassDef)
    pairs = zip(node.body, node.body[1:], strict=False)
    return {
        item.target.id.upper(): text.value.value
        for item, text in pairs
        if isinstance(item, ast.AnnAssign)
        and isinstance(item.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def test_without_settings_the_defaults_hold() -> None:
    with override_settings(REALTIME={}):
        assert config() == Config()


def test_what_is_given_holds_and_the_rest_is_default() -> None:
    with override_settings(REALTIME={"DB_THREADS": 7}):
        assert config() == Config(db_threads=7)


def test_override_settings_takes_effect_and_ends() -> None:
    before = config()
    with override_settings(REALTIME={"GUESTS": not before.guests}):
        assert config().guests is not before.guests
    assert config() == before


def test_the_settings_are_read_once() -> None:
    assert config() is config()


def test_another_setting_forgets_nothing() -> None:
    before = config()
    with override_settings(DEBUG=True):
        assert config() is before


def test_an_unknown_key_is_left_to_the_check() -> None:
    with override_settings(REALTIME={"GUEST": True, "guests": True}):
        assert config() == Config()


def test_the_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(AttributeError):
        config().guests = True  # type: ignore[misc]


def test_the_keys_are_the_fields_in_capitals() -> None:
    assert known_keys() == list(defaults())
    assert all(key.isupper() for key in known_keys())


def test_every_field_says_what_it_is_for() -> None:
    assert meanings().keys() == defaults().keys()


def test_every_key_stands_in_the_documents_with_its_default() -> None:
    page, told = PAGE.read_text(), meanings()
    rows = re.findall(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`|\[.+\)) \| (.+) \|$", page, re.MULTILINE)
    lists = dict(re.findall(r"^([A-Z_]+) = (\[\n(?:    .+\n)+\])$", page, re.MULTILINE))
    values = [(key, ast.literal_eval(lists.get(key, value)), text) for key, value, text in rows]
    assert values == [(key, value, told[key]) for key, value in defaults().items()]


def test_nobody_else_reads_the_settings() -> None:
    for path in Path(conf.__file__).parent.rglob("*.py"):
        if not {"conf", "checks", "testing"} & {path.stem, path.parent.name}:
            assert not re.search('settings.REALTIME|"REALTIME"', path.read_text()), path
