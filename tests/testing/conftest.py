"""The test kit runs on a SQLite file here, and in Django's own test cases in `test_running.py`."""

from tests.consumers.conftest import ada, bob, database, private, room, sqlite_url

__all__ = ["ada", "bob", "database", "private", "room", "sqlite_url"]
