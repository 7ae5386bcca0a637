"""The failures of writing: which pass by themselves, and what the sender is told."""

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError
from django.utils.translation import gettext_lazy as _

from ...logs import get_logger
from ...store.messages.drafts import Draft
from ...store.messages.logs import is_number_taken
from ...store.outbox.batch import Submission
from ...store.outbox.pending_messages import BacklogError
from ...store.outbox.room_batch import Change
from ...wire.errors import CommandError, ErrorCode

__all__ = ["is_lock_timeout", "is_passing", "refusal", "unavailable"]

logger = get_logger("realtime.writer")


def is_passing(error: Exception) -> bool:
    """Return whether the same submission may succeed later: lost connections, deadlocks, locks."""
    if isinstance(error, (DataError, IntegrityError)):
        return False
    return isinstance(error, (DatabaseError, InterfaceError))


def is_lock_timeout(error: BaseException) -> bool:
    """Return whether a lock or a statement has taken too long, or a backlog would take too long."""
    # 55P03 lock_not_available, 57014 query_canceled (the statement's own timeout).
    is_late = getattr(error.__cause__, "sqlstate", None) in {"55P03", "57014"}
    return is_late or isinstance(error, BacklogError)


def refusal(submission: Submission, error: Exception) -> CommandError:
    """Return what the sender of a submission that can never be stored is told, and log it."""
    of_room = isinstance(submission, Draft | Change)
    if of_room and isinstance(error, IntegrityError) and not is_number_taken(error):
        logger.info(
            "topic %s: a %s is refused: %r", submission.log_key, _kind_of(submission), error
        )
        message = _("The room or its sender no longer exists.")
        return CommandError(ErrorCode.UNKNOWN_ROOM, message)
    logger.error(
        "topic %s: a %s cannot be stored", submission.log_key, _kind_of(submission), exc_info=error
    )
    match submission:
        case Draft():
            message = _("The message cannot be stored.")
        case Change():
            message = _("The change cannot be stored.")
        case _:
            message = _("The event cannot be stored.")
    return CommandError(ErrorCode.INTERNAL, message)


def unavailable(submission: Submission) -> CommandError:
    """Return what the sender of a submission is told that cannot be stored now."""
    match submission:
        case Draft():
            message = _("The message cannot be stored now. Send it again.")
        case Change():
            message = _("The change cannot be stored now. Send the command again.")
        case _:
            message = _("The event cannot be stored now. Publish it again.")
    return CommandError(ErrorCode.UNAVAILABLE, message, retry_after=1)


def _kind_of(submission: Submission) -> str:
    match submission:
        case Draft():
            return "message"
        case Change():
            return "change"
        case _:
            return "topic entry"
