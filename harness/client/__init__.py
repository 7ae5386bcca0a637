"""Clients of the protocol for tests and benchmarks.

`encoding` and `frames` make and read bytes. `conversation` is the core: commands, replies, events.
The transports are `websocket`, `in_process` and `raw`; `benchmarks.load` has a fourth one.
`room_view` and `topic_view` hold what the protocol promises about one room and one topic. On top
of them, `chatter` is a client of rooms, and `subscriber` one of topics.
"""
