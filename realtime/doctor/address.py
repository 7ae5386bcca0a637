"""Examine the public address: open a socket as a browser does, and hold it."""

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ..wire.codecs import JSON
from .finding import Finding, bad, good, warned

__all__ = ["examine_address"]

SUBPROTOCOL = JSON.subprotocol
OPEN_SECONDS = 10.0
STATUS = {
    400: "Let the proxy pass Upgrade and Connection on (docs/nginx.conf).",
    403: "Let the proxy pass Host and the scheme on, or add the page's origin to ALLOWED_ORIGINS.",
    404: "Correct the path of the address, or route it to the server processes.",
    426: "Let the proxy pass Upgrade and Connection on (docs/nginx.conf).",
    429: "The proxy limits handshakes: try again in a minute.",
    502: "Start the server processes: the proxy reaches none.",
    503: "The server processes are ending or full: read /realtime/ready/.",
}
CLOSED_EARLY = (
    "Let each proxy keep a quiet connection for more than two heartbeats, such as "
    "`proxy_read_timeout 75s` of nginx, or lower HEARTBEAT_SECONDS."
)


def examine_address(url: str, hold: float, token: str = "") -> Iterator[Finding]:
    """Open a socket at an address, wait for its first frame, and hold it for some seconds.

    `url` begins with ws:// or wss://. With a token, the socket is that of a user.
    """
    try:
        from websockets.exceptions import InvalidStatus
        from websockets.sync.client import connect
    except ImportError:
        mend = 'Install "django-channels-realtime[client]".'
        yield warned("address", "The address was not tried: websockets is not installed.", mend)
        return
    parts = urlsplit(url)
    origin: Any = f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}"
    options: dict[str, Any] = {
        "origin": origin,
        "subprotocols": [SUBPROTOCOL],
        "compression": None,
        "open_timeout": OPEN_SECONDS,
        "ping_interval": None,
        "additional_headers": {"Authorization": f"Bearer {token}"} if token else {},
    }
    try:
        socket = connect(url, **options)
    except InvalidStatus as error:
        status = error.response.status_code
        mend = STATUS.get(status, "Read the log of the proxy, then that of a server process.")
        yield bad("address", f"{url} answers with HTTP status {status}.", mend)
        return
    except Exception as error:  # of the network, of TLS, of the handshake
        text = f"{url} cannot be opened: {type(error).__name__}: {error}".rstrip(".")
        yield bad("address", f"{text}.", "Check the name, the port, the certificate and the proxy.")
        return
    with socket:
        yield from _examine_socket(socket, url, hold)


def _examine_socket(socket: Any, url: str, hold: float) -> Iterator[Finding]:
    if socket.subprotocol != SUBPROTOCOL:
        mend = "Let the proxy pass Sec-WebSocket-Protocol on, or mount realtime's consumer there."
        yield bad("address", f"{url} does not answer with the subprotocol {SUBPROTOCOL}.", mend)
        return
    began, first = time.monotonic(), _next(socket, OPEN_SECONDS)
    if first is None:
        mend = "Read the log of a server process: the socket is open, and nothing comes."
        yield bad("address", f"{url} sends nothing within {OPEN_SECONDS:.0f} s.", mend)
        return
    if first.get("type") != "welcome":
        text = f"{url} refuses this client: {first.get('text') or first}"
        mend = "Give --username with the name of a user, or allow GUESTS."
        yield warned("address", text, mend)
        return
    yield good("address", f"{url} sends its welcome.")
    if hold > 0:
        yield _hold(socket, url, began, hold)


def _hold(socket: Any, url: str, began: float, hold: float) -> Finding:
    """Answer heartbeats, and send nothing else, as a quiet page does."""
    while (left := began + hold - time.monotonic()) > 0:
        frame = _next(socket, left)
        if frame is not None and frame.get("type") == "ping":
            socket.send(json.dumps({"type": "pong", **({"t": frame["t"]} if "t" in frame else {})}))
        if frame is not None and frame.get("type") == "closed":
            seconds = time.monotonic() - began
            text = f"{url} was closed after {seconds:.0f} s: {frame['text']}"
            return bad("hold", text, CLOSED_EARLY)
    return good("hold", f"{url} has stayed open for {hold:.0f} s.")


def _next(socket: Any, seconds: float) -> dict[str, Any] | None:
    """Return the next frame; None if none comes in time, and a `closed` one after the end."""
    from websockets.exceptions import ConnectionClosed

    try:
        frame = json.loads(socket.recv(timeout=seconds))
    except TimeoutError:
        return None
    except ConnectionClosed as error:
        code = getattr(error.rcvd, "code", 1006)
        reason = getattr(error.rcvd, "reason", "") or "without a reason"
        return {"type": "closed", "text": f"close code {code}, {reason}."}
    except ValueError:
        return {"type": "invalid", "text": "its frames are no JSON."}
    if isinstance(frame, list):  # several events in one frame
        frame = frame[0] if frame else {}
    return frame if isinstance(frame, dict) else {}
