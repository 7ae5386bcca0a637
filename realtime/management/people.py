"""The options by which a command names a user or guest."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model

from realtime.store.accounts.identity import GUEST
from realtime.store.accounts.users import any_user, canonical, pk_of

from .operation import is_storable, wrong

__all__ = ["declare_user", "key_of_user"]


def declare_user(parser: ArgumentParser) -> None:
    """Add the two options, of which a command needs one."""
    people = parser.add_mutually_exclusive_group(required=True)
    text = "the primary key of a user, or the id of a guest (guest:…)"
    people.add_argument("--user-id", metavar="ID", help=text)
    people.add_argument("--username", metavar="NAME", help="the name by which a user logs in")


def key_of_user(options: dict[str, Any], *, may_be_deleted: bool = False) -> str:
    """Return the `user_id` of the user whom the options name.

    A user whose account was deleted has only an id; `may_be_deleted` accepts it.
    """
    if options["username"] is not None:
        return _by_name(options["username"])
    key = canonical(options["user_id"])
    if key is None:
        raise wrong(f"{options['user_id']!r} cannot be the id of a user or guest.")
    is_known = key.startswith(GUEST) or may_be_deleted or any_user(pk_of(key)) is not None
    if not is_known:
        raise wrong(f"There is no user with the id {key!r}.")
    return key


def _by_name(name: str) -> str:
    users: Any = get_user_model()
    found = None
    if is_storable(name):
        found = users._base_manager.filter(**{users.USERNAME_FIELD: name}).first()
    if found is None:
        raise wrong(f"There is no user {name!r}. For a guest or a deleted user, give --user-id.")
    return str(found.pk)
