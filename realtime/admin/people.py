"""Names of users and guests in the lists; guests are marked."""

from django.utils.translation import gettext as _

from ..store.accounts.identity import GUEST

__all__ = ["named"]


def named(username: str, user_key: str) -> str:
    """Return the name of a user or guest, with a mark for guests."""
    name = username or user_key
    return _("%(name)s (guest)") % {"name": name} if user_key.startswith(GUEST) else name
