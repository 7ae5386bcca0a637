"""The room that an option of a command names."""

from realtime.models import Room

from .operation import is_storable, wrong

__all__ = ["room_of"]


def room_of(slug: str) -> Room:
    """Return the room with this slug."""
    room = Room.objects.filter(slug=slug).first() if is_storable(slug) else None
    if room is None:
        raise wrong(f"There is no room {slug!r}.")
    return room
