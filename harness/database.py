"""Read the database directly, to compare it with acknowledgements and screens."""

import contextlib
import sqlite3
from typing import Any, NamedTuple

import psycopg


class Row(NamedTuple):
    """One stored message."""

    seq: int
    id: str
    sender: str
    content: str


class Database:
    """The database of a site, by its URL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def connect(self) -> psycopg.Connection[Any]:
        """Return a new connection, for example to hold locks (PostgreSQL)."""
        return psycopg.connect(self.url)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query; its parameters are written as `%s`."""
        if self.url.startswith("sqlite"):
            path = self.url.removeprefix("sqlite:///")
            with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
                return connection.execute(query.replace("%s", "?"), values).fetchall()
        with psycopg.connect(self.url) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM realtime_{table}")[0][0])

    def messages(self, room: str) -> list[Row]:
        found = self.rows(
            "SELECT m.seq, m.id, m.sender, m.content FROM realtime_message m"
            " JOIN realtime_room r ON r.id = m.room_id WHERE r.slug = %s ORDER BY m.seq",
            room,
        )
        return [Row(seq, str(key), sender, content) for seq, key, sender, content in found]

    def last_seq(self, room: str) -> int:
        found = self.rows(
            "SELECT h.last_seq FROM realtime_head h"
            " JOIN realtime_room r ON r.id = h.room_id WHERE r.slug = %s",
            room,
        )
        return int(found[0][0]) if found else 0
