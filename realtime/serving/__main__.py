"""A worker: `python -m realtime.serving SERVER LISTENER CHANNEL APPLICATION [OPTION …]`.

The supervisor starts it. LISTENER and CHANNEL are the numbers of sockets that it inherits.
"""

import socket
import sys
from importlib import import_module

from .supervised import Supervised

__all__ = ["main"]


def main() -> None:
    """Serve until the supervisor says otherwise."""
    server, listening, reporting, application, *options = sys.argv[1:]
    listener, channel = (socket.socket(fileno=int(one)) for one in (listening, reporting))
    for one in (listener, channel):
        one.set_inheritable(False)  # a program that the site starts must not keep them open
    channel.setblocking(True)
    supervised = Supervised(channel)
    supervised.watch()
    module = import_module(f".on_{server}", __package__)
    module.serve(application, options, listener, supervised)


if __name__ == "__main__":
    main()
