"""Run the cases against real servers and print what they gave.

python -m benchmarks [CASE ...] [--server daphne|uvicorn] [--rounds N] [--seconds S]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services import Postgres, Redis, find_postgres, find_redis, temporary_folder
from tests.site import UNLIMITED, Server, Site, migrate


@dataclass(frozen=True)
class Case:
    """What the load client is told, and which of its figures is the point."""

    name: str
    figure: str
    options: tuple[str, ...]
    database: str = "postgres"


CASES = [
    Case("fanout-json", "deliveries_per_second", ("--members", "199")),
    Case(
        "fanout-ndjson",
        "deliveries_per_second",
        ("--members", "199", "--subprotocol", "realtime.v1.ndjson"),
    ),
    Case(
        "persist",
        "messages_per_second",
        ("--members", "0", "--rooms", "10", "--senders", "50", "--outstanding", "16"),
    ),
    Case(
        "persist-sqlite",
        "messages_per_second",
        ("--members", "0", "--rooms", "10", "--senders", "50", "--outstanding", "16"),
        database="sqlite",
    ),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=[case.name for case in CASES])
    parser.add_argument("--server", choices=["daphne", "uvicorn"], default="daphne")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    folder = temporary_folder()
    chosen = [case for case in CASES if case.name in options.cases]
    failed = False
    with _services(folder) as (redis, postgres):
        for case in chosen:
            results = []
            for number in range(options.rounds):
                url = _database(case, folder, postgres, f"{case.name}-{number}")
                results.append(_measure(case, folder, url, redis, options))
            failed |= any(result["faults"] or result["unequal"] for result in results)
            print(_line(case, results), flush=True)
    return int(failed)


@contextmanager
def _services(folder: Path) -> Iterator[tuple[Redis, Postgres]]:
    redis = Redis(find_redis(), folder)
    postgres = Postgres(find_postgres(), folder, durable=True)
    try:
        redis.start()
        postgres.start()
        yield redis, postgres
    finally:
        redis.kill()
        postgres.terminate()


def _database(case: Case, folder: Path, postgres: Postgres, name: str) -> str:
    if case.database == "sqlite":
        url = f"sqlite:///{folder}/{name}.sqlite3"
    else:
        url = postgres.create_database(name.replace("-", "_"))
    migrate(url)
    return url


def _measure(
    case: Case, folder: Path, url: str, redis: Redis, options: argparse.Namespace
) -> dict[str, Any]:
    settings = {"REALTIME_TEST_SETTINGS": json.dumps(UNLIMITED)}
    layer = redis.url if case.database == "postgres" else ""
    site = Site(folder, url, layer, settings)
    [server] = site.start(options.server)
    try:
        return _load(case, server, options.seconds)
    finally:
        server.kill()


def _load(case: Case, server: Any, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.load", server.ws, "--seconds", str(seconds)]
    client = subprocess.Popen([*command, *case.options], stdout=subprocess.PIPE, text=True)
    cpu: list[float] = []
    lines = []
    for line in client.stdout or ():
        lines.append(line)
        if line.startswith("measur"):
            cpu.append(_cpu_seconds(server))
    if client.wait() and not lines[-1:]:
        raise RuntimeError("the load client failed")
    result: dict[str, Any] = json.loads(lines[-1])
    result["cpu"] = (cpu[1] - cpu[0]) / seconds
    return result


def _cpu_seconds(server: Server) -> float:
    fields = Path(f"/proc/{server.popen.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _line(case: Case, results: list[dict[str, Any]]) -> str:
    def median(key: str) -> float:
        return statistics.median(result[key] for result in results)

    figures = [result[case.figure] for result in results]
    faults = sum(result["faults"] + max(0, result["unequal"]) for result in results)
    return (
        f"{case.name:16} {median(case.figure):10,.0f} {case.figure.replace('_', ' ')}"
        f"  (from {min(figures):,.0f} to {max(figures):,.0f})"
        f"  server CPU {median('cpu'):.0%}"
        f"  {median('events_per_frame'):.1f} events a frame"
        f"  ack p50 {median('ack_p50_ms')} ms, p99 {median('ack_p99_ms')} ms"
        f"  faults {faults}"
    )


if __name__ == "__main__":
    sys.exit(main())
