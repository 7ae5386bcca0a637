"""Who a client is: the one user that it may be, the name of a guest, and new tokens."""

import asyncio
from collections.abc import Callable

from ..logs import get_logger
from ..wire.events import Authenticated, Welcome
from ..wire.failures import RealtimeError
from .connection import Connection
from .line import End
from .session import Session

__all__ = ["OTHER_USER", "Identity"]

logger = get_logger("realtime.client")

RENEW_SECONDS = 5.0
OTHER_USER = End(4500, "The server takes this client for another user now.", reconnect=False)


class Identity:
    """Lets a connection open for the expected user only.

    `user` is that user's id; without it, the first `welcome` decides. `name` is that of a new
    guest. `forget` drops all that the last user has seen and not sent.
    """

    def __init__(
        self,
        user: str | None,
        name: str | None,
        connection: Connection,
        session: Session,
        forget: Callable[[], None],
    ) -> None:
        self._user = user
        self._name = name
        self._named = ""
        """The guest who has got the name, and keeps it on the next lines."""
        self._connection = connection
        self._session = session
        self._forget = forget
        self.renewing: asyncio.Task[None] | None = None
        """The task that sends a new token."""

    def welcome(self, event: Welcome) -> None:
        """Open the connection, after a new guest has got its name."""
        line = self._connection.line
        if line is None:
            return
        self.learn(event)
        self._session.limits = event.limits
        line.welcomed(event.heartbeat, event.limits.get("frame_bytes"))
        if self._name and _is_guest(event.user_id) and event.user_id != self._named:
            line.ask({"type": "auth", "name": self._name}, self._take_name, self._refuse_name)
        elif self._is_expected(event.user_id):
            self._connection.opened()

    def learn(self, event: Welcome | Authenticated) -> None:
        """Know what the server says of the user."""
        self._session.user_id, self._session.username = event.user_id, event.username
        if event.guest_token:
            self._connection.guest_token = event.guest_token

    def renewed(self, event: Authenticated) -> None:
        """Go on with a new token, unless it is that of another user."""
        line = self._connection.line
        if event.user_id == self._user:
            self.learn(event)
        elif line is not None:
            self._forget()
            line.end(OTHER_USER)

    def renew(self) -> None:
        """Send a new token, because the old one is about to expire."""
        if self.renewing is None or self.renewing.done():
            self.renewing = asyncio.create_task(self._send_new_token())

    def _take_name(self, event: Authenticated) -> None:
        self._named = event.user_id
        self.learn(event)
        if self._is_expected(event.user_id):
            self._connection.opened()

    def _refuse_name(self, error: RealtimeError) -> None:
        if error.code != "offline" and (line := self._connection.line) is not None:
            again = error.is_retryable
            line.end(End(4500, error.message, reconnect=again, retry_after=error.retry_after))

    def _is_expected(self, user_id: str) -> bool:
        """Return whether the client goes on: nothing is done as any user but the first one.

        A guest may become another guest, whose rooms begin anew.
        """
        user = self._user
        if user is None or user == user_id:
            self._user = user_id
            return True
        self._forget()
        if _is_guest(user) and _is_guest(user_id):
            self._user = user_id
            return True
        if (line := self._connection.line) is not None:
            line.end(OTHER_USER)
        return False

    async def _send_new_token(self) -> None:
        """Send a new token, for this line only: the next handshake asks for its own."""
        line = self._connection.line
        while line is not None and not line.is_over:
            try:
                token = await self._connection.token()
            except Exception as error:  # of the application
                logger.warning("there is no new token, so the old one will expire: %r", error)
                await asyncio.sleep(RENEW_SECONDS)
                continue
            if token and not line.is_over:
                line.send({"type": "auth", "token": token})
            return


def _is_guest(user_id: str) -> bool:
    return user_id.startswith("guest:")
