"""Time the pages of the admin on a large site; docs/admin.md has the figures.

    python -m benchmarks.admin_pages --rooms 50000 --messages 1000000 --connections 5000

It starts a PostgreSQL of its own. A page is requested by Django's test client, so the time contains
queries, views and templates, and no network.
"""

import argparse
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from harness.services import Services
from harness.site import environment, migrate

MOST_MS = 300
REPEATS = 5
SEED = """
INSERT INTO auth_user (id, username, password, first_name, last_name, email, is_superuser, is_staff,
    is_active, date_joined)
SELECT n, 'user-' || n, '', '', '', '', n = 1, n = 1, true, now() FROM generate_series(1, 5000) n;
INSERT INTO realtime_room (id, slug, title, kind, direct_key, slow_seconds, is_read_only,
    invitation_key, created_at)
SELECT n, 'room-' || n, 'Room ' || n, CASE n % 10 WHEN 0 THEN 'direct' WHEN 1 THEN 'private'
    ELSE 'public' END, CASE n % 10 WHEN 0 THEN 'key-' || n END, 0, false, 'abcdefgh', now()
FROM generate_series(1, {rooms}) n;
INSERT INTO realtime_message (room_id, seq, changed_seq, sender, user_id, username, content, nonce,
    created_at)
SELECT room, row_number() OVER (PARTITION BY room ORDER BY n),
    row_number() OVER (PARTITION BY room ORDER BY n), 1 + n % 5000, 1 + n % 5000,
    'user-' || (1 + n % 5000), 'Some words of message number ' || n || repeat(' and more', n % 20),
    'n' || n, now() - ({messages} - n) * interval '10 seconds'
FROM (SELECT n, CASE n % 2 WHEN 0 THEN 2 ELSE 1 + (n * 7919::bigint) % {rooms} END AS room
    FROM generate_series(1, {messages}) n) AS drawn ORDER BY n;
INSERT INTO realtime_head (room_id, last_seq, purged_seq, rights_seq, epoch)
SELECT room_id, max(seq), 0, 0, 'abcdefgh' FROM realtime_message GROUP BY room_id;
INSERT INTO realtime_membership (room_id, user_id, role, read_seq, joined_at)
SELECT n, 1 + n % 5000, 'member', 0, now() FROM generate_series(1, {rooms}) n;
INSERT INTO realtime_node (id, hostname, pid, started_at, expires_at, reaper)
SELECT 'node' || n, 'host', n, now(), now() + interval '1 day', '' FROM generate_series(1, 8) n;
INSERT INTO realtime_connection (id, node_id, user_id, user_key, username, address, connected_at)
SELECT 'node' || (1 + n % 8) || '.' || n, 'node' || (1 + n % 8), 1 + n % 5000, 1 + n % 5000,
    'user-' || (1 + n % 5000), '203.0.113.9', now() FROM generate_series(1, {connections}) n;
INSERT INTO realtime_presence (connection_id, room_id, user_key, username)
SELECT id, 2, user_key, username FROM realtime_connection UNION ALL
SELECT id, 2 + (user_key::int * 31 + m * 977) % ({rooms} - 2), user_key, username
FROM realtime_connection, generate_series(1, 4) m ON CONFLICT DO NOTHING;
INSERT INTO realtime_report (message_id, reporter, username, reason, address, created_at)
SELECT id, 'guest:' || id, 'Guest', 'spam', '', now() FROM realtime_message
WHERE id % ({messages} / 5000) = 0;
INSERT INTO realtime_sanction (kind, room_id, user_key, username, address, reason, created_at)
SELECT 'ban', n, 'guest:' || n, 'Guest', '', 'spam', now() FROM generate_series(1, 5000) n;
ANALYZE;
"""


class Timing(NamedTuple):
    """One page: the median and the worst time, and the number of queries."""

    name: str
    median_ms: float
    worst_ms: float
    queries: int


def pages() -> dict[str, str]:
    """Return the addresses of the measured pages by their names."""
    from realtime.models import Message, Report

    newest = Message.objects.order_by("-pk").values_list("pk", flat=True)[0]
    report = Report.objects.order_by("-pk").values_list("pk", flat=True)[0]
    return {
        "rooms": "room/",
        "rooms, search": "room/?q=4321",
        "messages": "message/",
        "messages, last page": "message/?p=200",
        "messages of a room of half a million": "message/?room=2",
        "messages, search for a rare word": "message/?q=unheard",
        "messages, search for a frequent word": "message/?q=words",
        "messages of a room, search for a rare word": "message/?room=2&q=unheard",
        "messages of a user": "message/?sender=7",
        "messages of a room and a user": "message/?room=2&sender=8",
        "messages of a day": "message/?{day}",
        "messages of a day, search for a rare word": "message/?{day}&q=unheard",
        "messages of a day in a small room": "message/?{day}&room=3",
        "a message with its conversation": f"message/{newest}/change/",
        "connected clients": "connection/",
        "connected clients of a room": "connection/?room=2",
        "connected clients, search": "connection/?q=user-4321",
        "nodes": "node/",
        "memberships": "membership/",
        "memberships, search": "membership/?q=4321",
        "sanctions": "sanction/",
        "reports": "report/",
        "a report with its conversation": f"report/{report}/change/",
    }


def measure() -> Iterator[Timing]:
    """Yield the timing of each page."""
    from datetime import timedelta

    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.utils import timezone

    client = Client()
    client.force_login(User.objects.get(is_superuser=True))
    first = timezone.now() - timedelta(days=50)
    day = f"created_at__gte={first:%Y-%m-%d}&created_at__lt={first + timedelta(days=1):%Y-%m-%d}"
    client.get("/admin/")
    for name, address in pages().items():
        url, times = f"/admin/realtime/{address.replace('{day}', day)}", []
        with CaptureQueriesContext(connection) as queries:
            client.get(url)
            number = len(queries)
        for _ in range(REPEATS):
            began = time.perf_counter()
            status = client.get(url).status_code
            times.append((time.perf_counter() - began) * 1000)
            if status != 200:
                raise SystemExit(f"{url} answered {status}.")
        times.sort()
        yield Timing(name, times[len(times) // 2], times[-1], number)


def main() -> None:
    """Fill a database, and print the table of the timings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=50_000)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=5_000)
    sizes: dict[str, Any] = vars(parser.parse_args())
    services = Services()
    try:
        server = services.own_postgres()
        url = server.create_database("admin_pages")
        migrate(url, rooms=[])
        import psycopg

        with psycopg.connect(url) as connection:
            connection.execute(SEED.format(**sizes).encode())
        os.environ.update(environment(url))
        import django

        django.setup()
        print("| page | median, ms | worst, ms | queries |\n|---|---|---|---|")
        slow = 0
        for one in measure():
            slow += one.median_ms > MOST_MS
            print(
                f"| {one.name} | {one.median_ms:.0f} | {one.worst_ms:.0f} | {one.queries} |",
                flush=True,
            )
        raise SystemExit(1 if slow else 0)
    finally:
        services.stop()


if __name__ == "__main__":
    main()
