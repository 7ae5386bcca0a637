"""The users in a place, as far as this process has been notified; the database corrects it."""

from ...wire.events import Member

__all__ = ["Roster", "with_user"]


class Roster:
    """The users in one place: by name while they are few, only counted in a crowd."""

    __slots__ = ("_people", "count", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.load([], 0)

    def load(self, members: list[Member], count: int) -> None:
        """Replace the roster by that of the database; a crowd comes without members."""
        self._people = {member.user_id: member.username for member in members}
        self.count = count

    @property
    def is_crowd(self) -> bool:
        """Whether there are too many users to list them by name."""
        return self.count > self.limit

    @property
    def is_incomplete(self) -> bool:
        """Whether the place is no longer a crowd, but names are missing."""
        return not self.is_crowd and self.count != len(self._people)

    def add(self, user_id: str, username: str) -> None:
        """Add a user who joined."""
        if user_id in self._people:
            return
        self.count += 1
        if self.is_crowd:
            self._people.clear()
        else:
            self._people[user_id] = username

    def remove(self, user_id: str) -> None:
        """Remove a user who left."""
        if self._people.pop(user_id, None) is not None or self.is_crowd or self.is_incomplete:
            self.count = max(0, self.count - 1)

    def members(self) -> list[Member]:
        """Return all users by name; an empty list if names are missing."""
        if self.is_crowd or self.is_incomplete:
            return []
        return [Member(user_id=key, username=name) for key, name in self._people.items()]

    def members_and(self, user_id: str, username: str) -> list[Member]:
        """Return all users by name, with one who has just joined; empty if names are missing."""
        members = self.members()
        if not members and self.count:
            return []  # too many to list
        if user_id in self._people:
            return members
        return [*members, Member(user_id=user_id, username=username)]


def with_user(
    members: list[Member], count: int, user_id: str, username: str
) -> tuple[list[Member], int]:
    """Return members by name and their number, with a user who is here for certain.

    The row of a user who has just joined may not be written yet. A crowd has no members to add to.
    """
    if len(members) < count or any(one.user_id == user_id for one in members):
        return members, count
    found = [*members, Member(user_id=user_id, username=username, connections=1)]
    return sorted(found, key=lambda one: (one.username, one.user_id)), count + 1
