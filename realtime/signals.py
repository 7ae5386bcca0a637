"""What the store says of itself to whoever stands above it."""

from django.dispatch import Signal

__all__ = ["rights_changed"]

rights_changed = Signal()
"""Rights in some rooms have changed, in a transaction that may still be open.

`room_ids`, and `user_id`: whose, where it is only one user's; else it is empty.
"""
