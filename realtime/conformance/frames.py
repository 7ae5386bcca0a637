"""What a scenario leaves out of the frames of the server, because it is always the same."""

from typing import Any

__all__ = ["completed"]

Frame = dict[str, Any]
AT = "2026-01-01T00:00:00.000Z"
SENDER: Frame = {"user_id": "2", "username": "bob", "created_at": AT}
USUAL: dict[str, Frame] = {
    "welcome": {
        "connection": "c",
        "user_id": "1",
        "username": "ada",
        "heartbeat": 20,
        "protocol": "realtime.v1",
        "limits": {"frame_bytes": 65536},
        "server_time": AT,
    },
    "joined": {
        "user_id": "1",
        "username": "ada",
        "through": 0,
        "epoch": "e",
        "recovered": False,
        "messages": [],
        "has_more": False,
        "members": [],
        "count": 1,
        "role": "",
        "rights": ["post", "signal"],
    },
    "subscribed": {
        "through": 0,
        "epoch": "e",
        "recovered": False,
        "entries": [],
        "has_more": False,
    },
    "history": {"epoch": "e", "has_more": False},
    "ack": {"created_at": AT},
    "event": {"at": AT},
    "error": {"message": "No.", "retryable": False},
    "disconnect": {"reason": "The end."},
    "resync": {"epoch": "e", "seq": 0},
    "removed": {"message": "No."},
}


def completed(frame: Frame) -> Frame:
    """Return a frame with all fields that the protocol requires."""
    kind = frame.get("type")
    found = {**USUAL.get(str(kind), {}), **frame}
    if kind == "message":
        found = _message(found)
    if kind == "changed":
        found["message"] = _message(found["message"])
    if kind in ("joined", "history") and "messages" in found:
        found["messages"] = [_message(one) for one in found["messages"]]
    if kind in ("subscribed", "history") and "entries" in found:
        found["entries"] = [{"at": AT, **one} for one in found["entries"]]
    if kind == "ack":
        found.setdefault("id", found["seq"])
    return found


def _message(state: Frame) -> Frame:
    return {**SENDER, "id": state["seq"], "content": f"m{state['seq']}", **state}
