"""The name of a user that others see; an e-mail address only if the site allows it."""

import re
from collections.abc import Callable
from hashlib import blake2s
from typing import Any

from django.utils.module_loading import import_string

from ...conf import config
from ...wire.looks import clean_line, is_visible

__all__ = ["NAME_CHARACTERS", "display_name", "name_of_message"]

NAME_CHARACTERS = 150
"""The longest name that the tables hold."""
KEY_CHARACTERS = 12
EMAIL = re.compile(r"\S.*@.*\S")
SENDERS_WITHOUT_EMAIL = ("guest:", "site:")


def display_name(user: Any) -> str:
    """Return the name of a user that others see.

    `DISPLAY_NAME` is an attribute or method of the user, or the dotted path of a function that
    takes the user. If it is not set, or returns nothing visible, the username is shown. A username
    that looks like an e-mail address is shown only if `DISPLAY_NAME` is `get_username`.
    """
    chosen = clean_line(str(_chosen(user) or ""), NAME_CHARACTERS)
    if is_visible(chosen):
        return chosen
    name = clean_line(user.get_username(), NAME_CHARACTERS)
    return _unnamed(str(user.pk)) if _is_email(name) or not is_visible(name) else name


def name_of_message(sender: str, username: str) -> str:
    """Return the name of the sender of a stored message, without an e-mail address."""
    if "@" not in username or sender.startswith(SENDERS_WITHOUT_EMAIL) or config().display_name:
        return username
    return _unnamed(sender) if _is_email(username) else username


def _chosen(user: Any) -> Any:
    setting = config().display_name
    if not setting:
        return ""
    if "." in setting:
        function: Callable[[Any], Any] = import_string(setting)
        return function(user)
    value = getattr(user, setting)
    return value() if callable(value) else value


def _is_email(name: str) -> bool:
    return EMAIL.fullmatch(name) is not None


def _unnamed(user_id: str) -> str:
    # The same in every language and process: names are compared and stored.
    if len(user_id) > KEY_CHARACTERS:
        user_id = blake2s(user_id.encode(), digest_size=4).hexdigest()
    return f"User {user_id}"
