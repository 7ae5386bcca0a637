"""Signals of the store: it writes and sends them; the engine listens and publishes.

Each may be sent inside a transaction that is still open, so a receiver waits for its commit.
"""

from django.dispatch import Signal

__all__ = ["invited", "messages_stored", "rights_changed", "site_sanctions_changed"]

rights_changed = Signal()
"""Rights in some rooms have changed.

`rooms`: their `rights_seq` by primary key; `user_id`: whose, empty where it is not only one user's.
"""

site_sanctions_changed = Signal()
"""A ban or mute of the whole site has changed: `user_id`, empty where it is of an address."""

messages_stored = Signal()
"""Messages were stored or changed: `stored` is a list of `Stored`, in the order of their log.

Not sent for messages of clients: the hub gets what the writer has committed.
"""

invited = Signal()
"""A user was given a place in a room by another user.

`room`; `user_id`; `by`: the other user's `Identity`; `is_request`: whether the user has yet to
accept this direct room.
"""
