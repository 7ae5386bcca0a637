"""The first content of an empty demo: three rooms, three users and some messages."""

from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction

from realtime.models import Room
from realtime.store.accounts.identity import Identity
from realtime.store.messages.drafts import Draft
from realtime.store.outbox.room_numbering import append

ROOMS = {
    "General": [
        ("alice", "Welcome! This room is for everything that everybody should see."),
        ("bob", "Open this page in a second window and write something: it is there at once."),
        ("carol", "Then go offline, let the other window write, and come back."),
        ("alice", "You get what you missed, once and in order. Even if the server was stopped."),
    ],
    "Random": [
        ("bob", "Did you know? A group of flamingos is called a flamboyance."),
        ("carol", "I will never need that, and I will never forget it."),
    ],
    "Help": [
        ("carol", "Where do I see who is connected right now?"),
        ("alice", "In the admin, under “Connected clients”. You can send a notice there, too."),
    ],
}


def seed() -> bool:
    """Add rooms and messages to a site without rooms; return whether it had none."""
    with transaction.atomic():
        if Room.objects.exists():
            return False
        for title, history in ROOMS.items():
            room = Room.objects.create(slug=title.lower(), title=title)
            append([_draft(room, _person(name), text) for name, text in history])
    return True


def _person(name: str) -> Any:
    users = get_user_model()._default_manager
    person, is_new = users.get_or_create(username=name)
    if is_new:
        person.set_unusable_password()
        person.save()
    return person


def _draft(room: Room, person: Any, text: str) -> Draft:
    identity = Identity.of(person)
    return Draft(
        room_id=room.pk,
        content=text,
        sender=identity.user_id,
        username=identity.username,
        user_pk=person.pk,
    )
