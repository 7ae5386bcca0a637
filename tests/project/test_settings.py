"""What the demo's settings make of their environment."""

import os
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from project.settings import database, kept_secret, listed


def test_secret_is_random_kept_and_closed_to_others(tmp_path: Path) -> None:
    """A restart finds the same key; another folder has another one."""
    file = tmp_path / "key"
    secret = kept_secret(file)
    assert len(secret) >= 50
    assert kept_secret(file) == secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert kept_secret(tmp_path / "other") != secret


def test_processes_that_start_together_share_one_secret(tmp_path: Path) -> None:
    """Whoever comes second takes what is there."""
    with ThreadPoolExecutor(16) as pool:
        secrets = set(pool.map(kept_secret, [tmp_path / "key"] * 64))
    assert len(secrets) == 1
    assert len(secrets.pop()) >= 50


def test_postgresql_gets_a_pool_and_health_checks() -> None:
    """A pool opens no connection of its own while CONN_MAX_AGE is 0."""
    found = database("postgres://someone@db.example/chat")
    pool = {"min_size": 2, "max_size": 18, "timeout": 1.5, "reconnect_timeout": 1}
    assert found["OPTIONS"]["pool"] == pool
    assert found["CONN_HEALTH_CHECKS"] is True
    assert found["CONN_MAX_AGE"] == 0


def test_options_in_the_address_stay() -> None:
    """What DATABASE_URL says about TLS is not lost to the pool."""
    found = database("postgres://someone@db.example/chat?sslmode=require")
    assert found["OPTIONS"]["sslmode"] == "require"
    assert "pool" in found["OPTIONS"]


def test_sqlite_gets_the_write_ahead_log() -> None:
    """The demo's file survives a power cut and lets readers read."""
    options = database("sqlite:////somewhere/db.sqlite3")["OPTIONS"]
    assert options["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in options["init_command"]
    assert "synchronous=FULL" in options["init_command"]


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def write_into(found: dict[str, Any]) -> sqlite3.Connection:
    """Use the file as Django does; its companions are there while the connection is open."""
    connection = sqlite3.connect(found["NAME"])
    connection.executescript(found["OPTIONS"]["init_command"])
    connection.execute("CREATE TABLE one (id)")
    return connection


NAMES = {"db.sqlite3", "db.sqlite3-wal", "db.sqlite3-shm"}


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_the_database_is_closed_to_others(tmp_path: Path, umask: int) -> None:
    """With its write-ahead log, whatever the process gives to other files."""
    before = os.umask(umask)
    try:
        with closing(write_into(database(f"sqlite:///{tmp_path}/db.sqlite3"))):
            assert modes(tmp_path) == dict.fromkeys(NAMES, 0o600)
    finally:
        os.umask(before)


def test_files_that_are_there_are_closed_to_others(tmp_path: Path) -> None:
    """Their contents stay, also while they are in use."""
    name = tmp_path / "db.sqlite3"
    found = {"NAME": name, "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL"}}
    (tmp_path / "key").write_text("secret")
    with closing(write_into(found)) as connection:
        for path in tmp_path.iterdir():
            path.chmod(0o644)
        database(f"sqlite:///{name}")
        assert kept_secret(tmp_path / "key") == "secret"
        assert modes(tmp_path) == dict.fromkeys(NAMES | {"key"}, 0o600)
        assert connection.execute("SELECT count(*) FROM one").fetchone() == (0,)


def test_a_database_in_memory_makes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    database("sqlite://:memory:")
    assert modes(tmp_path) == {}


def test_lists_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks and empty parts do not count."""
    monkeypatch.setenv("HOSTS", " a.example, ,b.example,")
    assert listed("HOSTS") == ["a.example", "b.example"]
    assert listed("NOT_THERE") == []
