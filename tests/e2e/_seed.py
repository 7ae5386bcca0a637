"""Fill a site with payloads wherever a text is kept; says what `test_xss.py` needs to know."""

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402 - needs apps
from django.test import Client  # noqa: E402

from realtime.models import Membership, Message, Report, Room, Sanction  # noqa: E402
from realtime.store.accounts.identity import Identity  # noqa: E402
from realtime.store.messages.drafts import Draft  # noqa: E402
from realtime.store.moderation import actions  # noqa: E402
from realtime.store.outbox.room_numbering import append  # noqa: E402
from realtime.store.rooms import management  # noqa: E402
from realtime.wire.errors import CommandError  # noqa: E402
from tests.e2e.payloads import PAYLOADS, packed  # noqa: E402

TEXTS = [payload.replace("\0", "") for payload in PAYLOADS]
SHOWN = 3
"""Of how many rows of a kind, each with many payloads, the pages are opened."""


def main() -> None:
    """Make users, rooms, messages, reports and sanctions, each with every payload."""
    users = get_user_model().objects
    [name] = _unique(packed(150)[:1], 150)
    admin = users.create_superuser(name, password="x", first_name=name, last_name=name)
    people = [users.create(username=name) for name in _unique([*TEXTS, *packed(150)], 150)]
    room = Room.objects.get(slug="general")
    memberships = [Membership.objects.create(room=room, user=user) for user in people]
    rooms = [made for text in [*TEXTS, *packed(200)] if (made := _room(admin, text))]
    drafts = [
        Draft.by(Identity.of(user), room.pk, text, data={text: text})
        for user, text in zip(people, [*packed(50_000), *TEXTS], strict=False)
    ]
    messages = [stored.state.id for stored in append(drafts)]
    by = Identity.of(admin)
    reasons = [*TEXTS, *packed(500)]
    for user, text, message in zip(people, reasons, reversed(messages), strict=False):
        actions.report(message, room.pk, Identity.of(user), text[:500])
        actions.sanction("mute", room, str(user.pk), reason=text[:500], by=by)
    actions.resolve(messages[:1], by)
    client = Client()
    client.force_login(admin)
    newest = {
        "realtime/room": [room.pk for room in rooms],
        "realtime/membership": [one.pk for one in memberships],
        "realtime/report": list(Report.objects.order_by("pk").values_list("pk", flat=True)),
        "realtime/sanction": list(Sanction.objects.order_by("pk").values_list("pk", flat=True)),
        "auth/user": [user.pk for user in people],
    }
    told = {
        "session": client.cookies["sessionid"].value,
        "contents": list(Message.objects.order_by("seq").values_list("content", flat=True)),
        "titles": [str(one) for one in Room.objects.filter(kind="public").order_by("pk")],
        "pages": {kind: pks[-SHOWN:] for kind, pks in newest.items()}
        | {"realtime/message": messages[:2]},
    }
    sys.stdout.write(json.dumps(told))


def _unique(texts: Iterable[str], characters: int) -> Iterator[str]:
    """Names that nobody else has."""
    for number, text in enumerate(texts):
        yield f"{text[: characters - 4]}{number}"


def _room(admin: Any, text: str) -> Room | None:
    """A room of this title, and called by it as far as can be."""
    try:
        return management.create(Identity.of(admin), text, kind="public", slug=text)
    except CommandError:  # no letters, or the same ones as another's
        title = " ".join(text.split())[:200]
        return Room.objects.create(slug=f"room-of-{Room.objects.count()}", title=title)


main()
