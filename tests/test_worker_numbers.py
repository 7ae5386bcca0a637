"""A worker answers with the numbers of all, or says that it cannot."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from django.test import Client
from pytest_django import Settings

from realtime.engine import numbers
from realtime.shared_numbers import FOLDER, PLACE, SharedNumbers
from realtime.worker_numbers import ALONE, all_numbers, own_numbers

PAGE = "/realtime/metrics"
HEADERS = {"Authorization": "Bearer t"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[Path]:
    """The folder of a supervisor whose worker this process is."""
    settings.REALTIME = {"METRICS": "token", "METRICS_TOKEN": "t"}
    monkeypatch.setenv(FOLDER, str(tmp_path / "shared"))
    monkeypatch.setenv(PLACE, "1")
    (tmp_path / "shared").mkdir()
    own_numbers.cache_clear()
    yield tmp_path / "shared"
    own_numbers.cache_clear()


def test_a_process_alone_has_no_label() -> None:
    assert all_numbers(numbers.read(None)).keys() == {ALONE}


def test_the_page_has_the_numbers_of_another_worker(folder: Path) -> None:
    other = msgspec.structs.replace(numbers.read(None), node="n0")
    SharedNumbers(folder).write(0, 100, msgspec.json.encode(other))
    text = Client().get(PAGE, headers=HEADERS).content.decode()
    for worker in ("0", "1"):
        assert f'realtime_connections{{worker="{worker}"}} 0.0' in text


def test_a_disk_that_is_full_leaves_the_last_numbers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = all_numbers(numbers.read(None))

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SharedNumbers, "write", full)
    assert all_numbers(numbers.read(None)) == first


def test_a_clock_that_is_set_back_stops_no_numbers(folder: Path) -> None:
    ahead = numbers.read(None)
    ahead.at += 3600
    all_numbers(ahead)
    now = numbers.read(None)
    assert all_numbers(now)["1"].at == now.at


def test_without_the_folder_the_page_is_not_available(folder: Path) -> None:
    """The numbers of one worker would look like counters that went backwards."""
    folder.rmdir()
    answer = Client().get(PAGE, headers=HEADERS)
    assert (answer.status_code, b"cannot be read" in answer.content) == (503, True)
