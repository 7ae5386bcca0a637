"""A room's log in the database, written as the store does and read as the truth."""

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from realtime.models import Log, Message
from realtime.store.messages import history
from realtime.store.messages.drafts import Draft, Stored
from realtime.store.outbox import room_numbering
from realtime.wire.events import MessageState


def append(room_id: int, *contents: str) -> list[Stored]:
    """Store messages without a broadcast."""
    return room_numbering.append(
        [Draft(room_id=room_id, content=text, sender="7", username="ada") for text in contents]
    )


def edit(room_id: int, seq: int, content: str) -> MessageState:
    """Change a message without a broadcast; it gets the next position of the room."""
    with transaction.atomic():
        Log.objects.filter(room=room_id).update(last_seq=F("last_seq") + 1)
        end = Log.objects.get(room=room_id).last_seq
        Message.objects.filter(room=room_id, seq=seq).update(
            content=content, changed_seq=end, edited_at=timezone.now()
        )
    return history.state_of(Message.objects.get(room=room_id, seq=seq))


def purge(room_id: int, through: int) -> None:
    """Remove the oldest rows, as pruning does, which never lowers `purged_seq`."""
    with transaction.atomic():
        Message.objects.filter(room=room_id, changed_seq__lte=through).delete()
        Log.objects.filter(room=room_id, purged_seq__lt=through).update(purged_seq=through)


def restore(room_id: int, last_seq: int) -> None:
    """Go back to an earlier state, as from a backup: the epoch is the same."""
    with transaction.atomic():
        Message.objects.filter(room=room_id, changed_seq__gt=last_seq).delete()
        Log.objects.filter(room=room_id).update(last_seq=last_seq)


def states(room_id: int) -> dict[int, tuple[int, str]]:
    """Of each message by its place: the position of its last change, and its text."""
    rows = Message.objects.filter(room=room_id).values_list("seq", "changed_seq", "content")
    return {seq: (changed, content) for seq, changed, content in rows}
