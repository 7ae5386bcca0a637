"""Read the database directly, to compare it with acknowledgements and screens."""

import contextlib
import json
import sqlite3
from typing import Any, NamedTuple

import psycopg

from harness.client.topic_chatter import TOPIC


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

    def execute(self, statement: str, *values: object) -> None:
        """Execute a statement that returns nothing (PostgreSQL)."""
        with psycopg.connect(self.url) as connection:
            connection.execute(statement.encode(), values)

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

    def epoch(self, room: str) -> str:
        """Return the epoch of a log; "" if there is none."""
        found = self.rows(
            "SELECT h.epoch FROM realtime_head h"
            " JOIN realtime_room r ON r.id = h.room_id WHERE r.slug = %s",
            room,
        )
        return str(found[0][0]) if found else ""

    def lock(self, connection: psycopg.Connection[Any], room: str) -> None:
        """Lock the log of a room until the transaction of this connection ends."""
        connection.execute(
            "SELECT 1 FROM realtime_head h JOIN realtime_room r ON r.id = h.room_id"
            " WHERE r.slug = %s FOR UPDATE OF h",
            [room],
        )

    def purge(self, room: str, position: int) -> None:
        """Remove the messages of a room up to a position, as retention does."""
        self.execute(
            "WITH log AS (SELECT h.room_id FROM realtime_head h"
            " JOIN realtime_room r ON r.id = h.room_id WHERE r.slug = %s),"
            " gone AS (DELETE FROM realtime_message WHERE changed_seq <= %s"
            " AND room_id = (SELECT room_id FROM log))"
            " UPDATE realtime_head SET purged_seq = %s WHERE room_id = (SELECT room_id FROM log)",
            *(room, position, position),
        )


class TopicDatabase(Database):
    """The same for what is said in topics (`harness/topics.py`)."""

    def count(self, table: str) -> int:
        return super().count("entry" if table == "message" else table)

    def messages(self, room: str) -> list[Row]:
        found = self.rows(
            "SELECT e.seq, e.data FROM realtime_entry e JOIN realtime_head h ON h.id = e.log_id"
            " WHERE h.name = %s ORDER BY e.seq",
            TOPIC + room,
        )
        said = [(seq, json.loads(data or "{}")) for seq, data in found]
        return [
            Row(seq, str(seq), one.get("sender", ""), one.get("content", "")) for seq, one in said
        ]

    def last_seq(self, room: str) -> int:
        found = self.rows("SELECT last_seq FROM realtime_head WHERE name = %s", TOPIC + room)
        return int(found[0][0]) if found else 0

    def epoch(self, room: str) -> str:
        found = self.rows("SELECT epoch FROM realtime_head WHERE name = %s", TOPIC + room)
        return str(found[0][0]) if found else ""

    def lock(self, connection: psycopg.Connection[Any], room: str) -> None:
        locking = "SELECT 1 FROM realtime_head WHERE name = %s FOR UPDATE"
        connection.execute(locking, [TOPIC + room])

    def purge(self, room: str, position: int) -> None:
        self.execute(
            "WITH log AS (SELECT id FROM realtime_head WHERE name = %s),"
            " gone AS (DELETE FROM realtime_entry WHERE changed_seq <= %s"
            " AND log_id = (SELECT id FROM log))"
            " UPDATE realtime_head SET purged_seq = %s WHERE id = (SELECT id FROM log)",
            *(TOPIC + room, position, position),
        )
