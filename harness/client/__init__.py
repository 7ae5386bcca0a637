"""Clients of the protocol for tests and benchmarks.

`encoding` and `frames` make and read bytes. `conversation` is the core: commands, replies, events.
The transports are `websocket`, `in_process` and `raw`; `benchmarks.load` has a fourth one.
`room_view` holds what the protocol promises about one room, and `chatter` is a client on top.
"""
