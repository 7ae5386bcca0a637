"""A small worker that speaks with its supervisor as a real one does; run by test_supervisor.py.

It does what its mode says: "ok", "broken" (it ends at once), "silent" (it never reports), "unready"
(it serves, but cannot store), "deaf" (it ignores what it is told), "orphan" (it leaves a process
behind, whose parent ends first).
"""

import os
import socket
import sys
import time
from pathlib import Path


def main(folder: str, channel: str, mode: str) -> None:
    if mode == "broken":
        sys.exit(9)
    if mode == "orphan" and os.fork() == 0:
        if os.fork() == 0:
            time.sleep(0.2)
        os._exit(0)
    supervisor = socket.socket(fileno=int(channel))
    for report in {"silent": (), "unready": (b"running\n",)}.get(mode, (b"running\n", b"ready\n")):
        supervisor.sendall(report)
    orders = supervisor.makefile("rb")
    for order in orders:
        if mode == "deaf":
            continue
        if order.startswith(b"drain"):
            time.sleep(float((Path(folder) / "drain").read_text()))
        break
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
