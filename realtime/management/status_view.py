"""The result of `realtime_status` as lines for people."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

__all__ = ["lines_of"]

HEAD = (
    *("node", "process", "state", "version", "age", "clients"),
    *("cmd/s", "deliv/s", "p50", "p99", "waiting", "CPU"),
)
LEFT = 4
"""The columns that begin at the left."""
UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
SILENT = "  no numbers of %s: see realtime_doctor"

Result = dict[str, Any]


def lines_of(result: Result) -> Iterator[str]:
    """Yield the numbers of the site, then its processes and busy rooms."""
    rate = result["events_per_second"]
    yield f"{result['connections']:,} connections of {result['users']:,} users"
    yield f"{result['rooms']:,} rooms, {result['events']:,} messages and events" + (
        "" if rate is None else f", {rate:,.1f} a second"
    )
    waits = f", the oldest for {result['pending_seconds']:.0f} s" if result["pending"] else ""
    yield f"{result['pending']:,} wait for their position{waits}"
    yield from _nodes(result["nodes"])
    for slug, number in result["busiest"].items():
        yield f"  {slug}: {number:,} here"


def _nodes(nodes: Sequence[Result]) -> Iterator[str]:
    if not nodes:
        yield "  no server process"
        return
    yield from _table([HEAD, *(_cells(one) for one in nodes)])
    if silent := [one["id"] for one in nodes if one["is_alive"] and one["numbers"] is None]:
        yield SILENT % ", ".join(silent)


def _cells(node: Result) -> Sequence[str]:
    state = "drains" if node["drain_seconds"] is not None else "alive"
    known = (node["id"], f"{node['host']}:{node['pid']}", state if node["is_alive"] else "ENDED")
    now, rates = node["numbers"], node["rates"]
    if now is None:
        return (*known, "", "", f"{node['connections']:,}", *[""] * 6)
    return (
        *known,
        now["version"],
        _span(now["at"] - now["started_at"]),
        f"{now['gauges']['connections']:,}",
        _rate(rates, "commands_per_second"),
        _rate(rates, "deliveries_per_second"),
        _milliseconds(rates, "commit_p50"),
        _milliseconds(rates, "commit_p99"),
        f"{now['gauges']['queued_frames']:,}",
        "" if rates is None else f"{rates['cpu']:.0%}",
    )


def _table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield rows with columns as wide as their widest cell."""
    known = list(rows)
    widths = [max(map(len, column)) for column in zip(*known, strict=True)]
    for row in known:
        cells = [
            cell.ljust(width) if place < LEFT else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield ("  " + "  ".join(cells)).rstrip()


def _rate(rates: Result | None, name: str) -> str:
    return "" if rates is None else f"{rates[name]:,.0f}"


def _milliseconds(rates: Result | None, name: str) -> str:
    seconds = None if rates is None else rates[name]
    return "" if seconds is None else f"{seconds * 1000:g} ms"


def _span(seconds: float) -> str:
    size, unit = next((one for one in UNITS if seconds >= one[0]), UNITS[-1])
    return f"{int(seconds // size)} {unit}"
