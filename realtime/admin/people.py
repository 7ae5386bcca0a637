"""Names of users and guests in the lists; a guest never looks like a user."""

from django.utils.translation import gettext as _

from ..store.accounts.identity import GUEST

__all__ = ["named"]


def named(username: str, user_key: str) -> str:
    """Name somebody, and say whether it is a guest."""
    name = username or user_key
    return _("%(name)s (guest)") % {"name": name} if user_key.startswith(GUEST) else name
