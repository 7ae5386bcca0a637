"""The live page of the admin in a browser: its numbers, its long tasks and its bytes."""

import time

from playwright.async_api import Page, WebSocket

__all__ = ["LIVE", "LONG_TASKS", "Meter", "numbers_of"]

LIVE = "/admin/realtime/live/"
LONG_TASKS = """
let longestTask = 0;
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) longestTask = Math.max(longestTask, task.duration);
}).observe({ type: "longtask", buffered: true });
window.longest = () => { const found = longestTask; longestTask = 0; return found; };
"""
PID = 2
COLUMNS = {"connections": 9, "in": 13, "out": 14, "deliveries": 15}
"""With a column for buttons, as an administrator sees the page."""
READ = """(lines, [pid, column, columns]) => {
  const others = lines.filter((line) => line.cells[column].textContent !== String(pid));
  const number = (cell) => Number(cell.textContent.replace(/\\D/g, ""));
  const sum = (column) => others.reduce((all, line) => all + number(line.cells[column]), 0);
  return Object.fromEntries(Object.entries(columns).map(([name, place]) => [name, sum(place)]));
}"""


async def numbers_of(page: Page, pid: int) -> dict[str, int]:
    """Return what the page shows of all processes but the one that serves the page itself."""
    lines = page.locator(".realtime-nodes tbody tr")
    found: dict[str, int] = await lines.evaluate_all(READ, [pid, PID, COLUMNS])
    return found


class Meter:
    """Counts the bytes that come to a page over its sockets."""

    def __init__(self, page: Page) -> None:
        self.start()
        page.on("websocket", lambda socket: self._watch(socket))

    def start(self) -> None:
        """Count from now on."""
        self._began, self._bytes = time.monotonic(), 0

    @property
    def bytes_a_second(self) -> float:
        """The bytes since `start` for each second."""
        return self._bytes / (time.monotonic() - self._began)

    def _watch(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._add)

    def _add(self, frame: str | bytes) -> None:
        self._bytes += len(frame)
