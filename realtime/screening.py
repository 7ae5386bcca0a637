"""Have the site check messages before they are stored: those of clients, and those it pushes."""

import asyncio
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.utils.translation import gettext_lazy as _

from .conf import config
from .engine.database.executor import Database
from .engine.servers.exits import contained
from .hooks import Hooks, NewMessage
from .logs import get_logger
from .store.messages.plain import plain
from .wire.errors import CommandError, ErrorCode

__all__ = ["screen", "screen_now"]

logger = get_logger("realtime.hooks")

NOT_CHECKED = _("The message cannot be checked now. Send it again in a moment.")
Check = Callable[[NewMessage], Any]


async def screen(rules: Hooks, message: NewMessage, kind: str, db: Database) -> NewMessage:
    """Return the message of a client as the site wants it to be stored, within `HOOK_SECONDS`.

    A sync hook runs in the threads for the site's code, where it cannot be interrupted: one that
    takes too long goes on, but nothing waits for it. Raises `CommandError` for a refused message,
    and with `unavailable` if the hook fails.
    """
    message.data = rules.converted(message.data, kind)
    if "before_message" not in rules.is_overridden:
        return message
    changed = replace(message, data=deepcopy(message.data))
    try:
        async with asyncio.timeout(config().hook_seconds):
            await _call(rules.before_message, changed, db)
        return _checked(changed)
    except CommandError:
        raise
    except Exception as error:
        return _failed(rules, message, error)


def screen_now(rules: Hooks, message: NewMessage, kind: str) -> NewMessage:
    """As `screen`, for sync code of the site: a sync hook runs in its thread, without a limit."""
    message.data = rules.converted(message.data, kind)
    if "before_message" not in rules.is_overridden:
        return message
    changed = replace(message, data=deepcopy(message.data))
    try:
        if iscoroutinefunction(rules.before_message):
            async_to_sync(_in_time)(rules.before_message, changed)
        else:
            rules.before_message(changed)
        return _checked(changed)
    except CommandError:
        raise
    except (Exception, SystemExit) as error:
        return _failed(rules, message, error)


async def _in_time(check: Check, message: NewMessage) -> None:
    async with asyncio.timeout(config().hook_seconds):
        await contained(check(message))


async def _call(check: Check, message: NewMessage, db: Database) -> None:
    if iscoroutinefunction(check):
        await contained(check(message))
    else:
        owner = message.address if message.user is None else ""
        await asyncio.wrap_future(db.hook(check, message, owner=owner or message.user_id))


def _checked(message: NewMessage) -> NewMessage:
    """Return a message that a hook may have changed; raise `ValueError` if it cannot be stored."""
    if not isinstance(message.content, str):
        raise TypeError(f"before_message has set content to {message.content!r}, which is no text")
    message.content = str.__str__(message.content)  # also of a `SafeString`
    message.content.encode()  # raises for a surrogate
    if "\x00" in message.content:
        raise ValueError("before_message has put NUL into the content")
    if not message.content.strip() and not message.data:
        raise ValueError("before_message has emptied the message: raise CommandError to refuse it")
    try:
        message.data = None if message.data is None else plain(message.data)
    except CommandError as error:
        raise ValueError(
            f"before_message has set data that is not portable JSON: {error}"
        ) from None
    return message


def _failed(rules: Hooks, message: NewMessage, error: BaseException) -> NewMessage:
    logger.error(
        "room %r: before_message of the site failed: %r", message.room, error, exc_info=error
    )
    if rules.accepts_unchecked:
        return message
    raise CommandError(ErrorCode.UNAVAILABLE, NOT_CHECKED, retry_after=1) from error
