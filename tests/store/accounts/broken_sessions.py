"""A session store that is away."""

from django.contrib.sessions.backends.base import SessionBase


class SessionStore(SessionBase):
    """Cannot be asked."""

    def load(self) -> dict[str, object]:
        raise ConnectionError("the store is away")
