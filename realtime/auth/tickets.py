"""Tickets: a page issues one to its logged-in user, who opens one socket with it, on any host.

A ticket is signed, not stored. Its use is stored, in the database, which all processes share, and
only for as long as the ticket is valid.
"""

import secrets
import time
from typing import Any

from django.core import signing
from django.http import HttpRequest

from ..conf import config
from ..engine.database.executor import Database
from ..store.accounts import sessions, tokens, users
from ..store.accounts.identity import Authentication, Credential, Identity
from .authenticator import Authenticator

__all__ = ["Ticket", "issue", "issue_for"]

SALT = "realtime.ticket"
MAX_SECONDS = 60
SESSION_FLAG = "_realtime_tickets"
"""Marks a session that has issued tickets: its logout concerns connections without its key."""


def issue(user: Any, *, session_digest: str = "", until: float | None = None) -> str:
    """Return a ticket; `until` is when its connection ends, in seconds since the epoch."""
    fields = [secrets.token_hex(8), str(user.pk), users.password_of(user), session_digest, until]
    return signing.dumps(fields, salt=SALT)


def issue_for(request: HttpRequest) -> str:
    """Return a ticket for the user of a request; its connection ends with the session."""
    session = getattr(request, "session", None)
    if session is None or session.session_key is None:
        return issue(request.user)
    sessions.mark(session)
    if SESSION_FLAG not in session:
        session[SESSION_FLAG] = True
    until = session.get_expiry_date().timestamp()
    return issue(request.user, session_digest=sessions.digests_of(session)[0], until=until)


def seconds() -> int:
    """Return how many seconds a ticket is valid."""
    return min(config().ticket_seconds, MAX_SECONDS)


class Ticket(Authenticator):
    """Accepts each ticket once."""

    async def afrom_token(self, token: str, db: Database) -> Authentication | None:
        """Authenticate by a ticket; only a signed one reaches the database."""
        fields = _read(token)
        return None if fields is None else await db.read(_use, *fields)


def _read(token: str) -> list[Any] | None:
    try:
        fields: list[Any] = signing.loads(token, salt=SALT, max_age=seconds())
    except (signing.BadSignature, ValueError):
        return None
    return fields


def _use(
    ticket: str, pk: str, password: str, session: str, until: float | None
) -> Authentication | None:
    user = users.users_by([("pk", pk)]).get(("pk", pk))
    if user is None or not users.is_good(user) or not users.is_password_of(user, password):
        return None
    session_id = tokens.session_id(session) if session else ""
    if until is not None and until <= time.time():
        return None
    if session_id and tokens.revoked([session_id]):
        return None
    if not tokens.use_once(f"ticket:{ticket}", time.time() + seconds()):
        return None
    credential = Credential(
        session_digest=session, password=password, token_id=session_id, expires_at=until
    )
    return Authentication(Identity.of(user), credential)
