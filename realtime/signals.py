"""What the store says of itself to whoever stands above it."""

from django.dispatch import Signal

__all__ = ["rights_changed", "site_sanctions_changed"]

rights_changed = Signal()
"""Rights in some rooms have changed, in a transaction that may still be open.

`rooms`: their `rights_seq` by primary key; `user_id`: whose, empty where it is not only one user's.
"""

site_sanctions_changed = Signal()
"""A ban or mute of the whole site has changed: `user_id`, empty where it is of an address."""
