"""What rests on users works with these as well; run by tests/testing/test_running.py."""

from typing import Any

from django.contrib.auth import get_user_model
from django.test import TransactionTestCase

from harness.client.in_process import Socket
from realtime import testing
from realtime.consumers import ChatConsumer
from realtime.models import Membership, Room, Sanction


class OtherUsers(TransactionTestCase):
    """A chat of two."""

    def setUp(self) -> None:
        people = get_user_model().objects
        self.ada, self.bob = people.create(name="ada"), people.create(name="bob")
        room = Room.objects.create(slug="secret", kind="private")
        Membership.objects.create(room=room, user=self.ada, role="owner")

    async def test_people_find_and_judge_each_other(self) -> None:
        """By name and by id."""
        async with testing.engine(), self.socket(self.ada) as owner, self.socket(self.bob) as other:
            await owner.join("secret")
            token = (await owner.ask("invite", room="secret"))["invitation"]
            assert (await other.ask("accept", invitation=token))["type"] == "room"
            await other.join("secret")
            bob = str(self.bob.pk)
            for kind, more in [("appoint", {"role": "moderator"}), ("mute", {}), ("ban", {})]:
                done = await owner.ask(kind, room="secret", user_id=bob, **more)
                assert done["type"] == "done", done
            await other.expect("removed", room="secret")
            assert (await owner.ask("direct", username="bob"))["kind"] == "direct"
        assert await Sanction.objects.acount() == 2

    def socket(self, user: Any) -> Socket:
        return Socket(application=ChatConsumer.as_asgi(), user=user)
