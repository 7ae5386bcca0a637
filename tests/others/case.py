"""What rests on users works with these as well; run by tests/testing/test_running.py."""

from django.contrib.auth import get_user_model
from django.test import TransactionTestCase

from realtime.models import Membership, Room, Sanction
from realtime.testing import connect


class OtherUsers(TransactionTestCase):
    """A chat of two."""

    def setUp(self) -> None:
        people = get_user_model().objects
        self.ada, self.bob = people.create(name="ada"), people.create(name="bob")
        room = Room.objects.create(slug="secret", kind="private")
        Membership.objects.create(room=room, user=self.ada, role="owner")

    async def test_people_find_and_judge_each_other(self) -> None:
        """By name and by id."""
        async with connect(self.ada) as owner, connect(self.bob) as other:
            await owner.join("secret")
            token = (await owner.command("invite", room="secret"))["invitation"]
            await other.command("accept", invitation=token)
            await other.join("secret")
            for kind, more in [("appoint", {"role": "moderator"}), ("mute", {}), ("ban", {})]:
                await owner.command(kind, room="secret", user_id=other.user_id, **more)
            await other.next("removed", room="secret")
            assert (await owner.command("direct", username="bob"))["kind"] == "direct"
        assert await Sanction.objects.acount() == 2
