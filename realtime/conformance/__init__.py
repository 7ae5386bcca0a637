"""Show that a client of the protocol keeps its promises, in any language.

A scenario is data: what the client is told to do, what the server sends, and what must come of it.
The runner plays the server. A driver, which is a process, wraps the client. docs/conformance.md
describes the protocol of drivers.
"""
