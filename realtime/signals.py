"""Signals of the store: the store writes and sends them, the engine receives and publishes.

Each may be sent inside an open transaction, so a receiver waits for its commit.
"""

from django.dispatch import Signal

__all__ = [
    "entries_pending",
    "entries_stored",
    "invited",
    "messages_stored",
    "moved",
    "rights_changed",
    "site_sanctions_changed",
    "topic_rights_changed",
]

rights_changed = Signal()
"""Rights in some rooms have changed.

`rooms`: their `rights_seq` by primary key; `user_id`: the user concerned, or empty for all users.
"""

site_sanctions_changed = Signal()
"""A site-wide ban or mute has changed: `user_id`, or empty if it is against an address."""

messages_stored = Signal()
"""Messages were stored or changed: `stored` is a list of `Stored`, in the order of their log.

Not sent for messages of clients: the hub gets what the writer has committed.
"""

invited = Signal()
"""A user was made a member of a room by another user.

`room`; `user_id`; `by`: the `Identity` of the other user; `is_request`: whether it is a direct room
that the user has not accepted yet.
"""

moved = Signal()
"""Users were moved from a room to another one.

`users`: their ids; `room` and `to`: the slugs of the rooms; `reason`: a text for them, or empty.
"""

entries_stored = Signal()
"""Entries of topics were numbered, and their transaction is committed.

`stored`: a list of `StoredEntry`, in the order of their logs. Not sent for entries that the writer
of an engine has appended: the hub gets those.
"""

topic_rights_changed = Signal()
"""Rights in some topics have changed, and the transaction is committed.

`topics`: their `rights_seq` by name.
"""

entries_pending = Signal()
"""Pending entries were committed and have no position yet.

`topics`: a frozenset of names; `rooms`: one of primary keys. A receiver returns True if it numbers
them. Both are empty if the sender only has to know whether there is such a receiver.
"""
