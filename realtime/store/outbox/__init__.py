"""The transactional outbox: how what is published gets its number.

The way of an entry:

1. `pending.publish` inserts a row into `Pending` with the caller's transaction. It reads and locks
   no log. `pending.publish_message` does the same for a message of a room.
2. After the commit, the engine of this process is told by the signal `entries_pending`. Its writer
   numbers the log with its next batch (`batch.write_all`). Without an engine, the thread that has
   published does so; if many publish, one thread of the process does so for all (`sequencer`).
3. Numbering locks the log, takes what is pending in it, and stores it at the next positions
   (`topic_numbering.py`, `room_numbering.py`). Whatever appends to a log does this first.
4. After that commit, the signal `entries_stored` or `messages_stored` tells what was numbered.

What nobody has numbered for a second, the pulse of any process numbers (`pending.sweep`). The
values whose time is over are deleted by the pulse too (`expiry.py`). SQLite has no pending rows:
its transactions hold the only write lock anyway.
"""
