"""What the demo's settings make of their environment."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
    pool = {"min_size": 2, "max_size": 12, "timeout": 1.5, "reconnect_timeout": 1}
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


def test_lists_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks and empty parts do not count."""
    monkeypatch.setenv("HOSTS", " a.example, ,b.example,")
    assert listed("HOSTS") == ["a.example", "b.example"]
    assert listed("NOT_THERE") == []
