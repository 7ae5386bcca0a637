"""Reports of messages: one for each reporter and message, with a bound on open ones."""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ...conf import config
from ...models import Message, Report
from ...wire.commands import REASON_CHARACTERS
from ...wire.errors import CommandError, ErrorCode
from ..accounts.identity import Identity
from ..database.alias import database
from . import audit

__all__ = ["closed", "delete_closed", "dismiss", "report", "resolve", "unknown_message"]

GUESTS = 2
"""The factor by which all guests of one address may have more open reports than one reporter."""


def report(
    message_id: int, room_id: int, identity: Identity, reason: str, *, address: str = ""
) -> None:
    """Report a message; a second report by the same user changes the first.

    A closed report stays closed unless the message was edited since. Raises
    `CommandError` with `unknown_message`, also for a deleted one, or `limit_exceeded`.
    """
    with transaction.atomic(using=database()):
        messages = Message.objects.using(database()).filter(pk=message_id, room=room_id)
        message = messages.filter(deleted_at=None).only("edited_at").first()
        if message is None:
            raise unknown_message()
        before = _reports().filter(message=message_id, reporter=identity.user_id).first()
        if before is None or _is_open_again(before, message):
            _check_number(identity, address if identity.is_guest else "")
        elif before.resolved_at is not None or before.reason == reason[:REASON_CHARACTERS]:
            return
        _reports().update_or_create(
            {
                "username": identity.username,
                "address": address if identity.is_guest else "",
                "reason": reason[:REASON_CHARACTERS],
                "created_at": timezone.now(),
                "resolved_at": None,
                "resolved_by": None,
            },
            message_id=message_id,
            reporter=identity.user_id,
        )


def resolve(message_ids: Iterable[int], by: Identity | None = None) -> int:
    """Close the reports of messages; return how many were open."""
    reports = Report.objects.using(database()).filter(message__in=list(message_ids))
    user = None if by is None else by.user
    return reports.filter(resolved_at=None).update(resolved_at=timezone.now(), resolved_by=user)


def dismiss(reports: Iterable[Report], by: Identity | None = None) -> int:
    """Close all open reports of the messages of these reports; return how many.

    The messages are not changed.
    """
    first = {one.message_id: one for one in reports}
    with transaction.atomic(using=database()):
        rows = _reports().filter(message__in=first, resolved_at=None).select_for_update()
        numbers = Counter(rows.order_by("pk").values_list("message_id", flat=True))
        number = resolve(list(numbers), by)
        for same in sorted(set(numbers.values())):
            about = [first[message_id] for message_id, found in numbers.items() if found == same]
            more = "" if same == 1 else f", with {same - 1} more of this message"
            audit.record_all(by, about, audit.CHANGE, f"dismissed{more}")
    return number


def delete_closed(days: float) -> int:
    """Delete reports that were closed more than `days` ago; return how many."""
    number, _ = closed(days).delete()
    return int(number)


def closed(days: float) -> Any:
    """Return the reports that were closed more than `days` ago, in rooms without legal hold."""
    rows = _reports().filter(resolved_at__lt=timezone.now() - timedelta(days=days))
    return rows.filter(message__room__is_held=False)


def unknown_message() -> CommandError:
    """Return the error for a message that does not exist."""
    return CommandError(ErrorCode.UNKNOWN_MESSAGE, _("There is no such message."))


def _is_open_again(before: Report, message: Message) -> bool:
    """Return whether a report was closed, and its message was edited after that."""
    closed_at, edited_at = before.resolved_at, message.edited_at
    return closed_at is not None and edited_at is not None and edited_at > closed_at


def _check_number(identity: Identity, address: str) -> None:
    """Refuse a report if the reporter, or the address of a guest, has too many open ones."""
    still_open = _reports().filter(resolved_at=None)
    most = config().open_reports
    is_full = still_open.filter(reporter=identity.user_id).count() >= most
    if is_full or (address and still_open.filter(address=address).count() >= most * GUESTS):
        message = _("Too many of your reports are open. Wait until a moderator has closed some.")
        raise CommandError(ErrorCode.LIMIT_EXCEEDED, message)


def _reports() -> Any:
    return Report.objects.using(database())
