"""Plain HTTP: one request is a short connection of protocol v1, for networks that block sockets.

The request is presented to the site's socket application as a handshake and frames. So rights,
limits and presence are those of a socket.
"""

from .application import PlainHttp

__all__ = ["PlainHttp"]
