"""Signatures of pages: the moment at which a page was read, and perhaps the right to subscribe.

A page has a moment and no position: a position that is read after the data of the page would hide
what was published in between. The moment is the begin of the request.
"""

import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async
from django.core import signing
from django.core.signals import request_started
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..publications import record_page
from ..store.accounts.identity import Identity
from ..store.database.primary import on_primary
from ..store.logs import RightsVersion
from ..store.topics.entries import NO_LOG, TopicLog
from ..wire.errors import CommandError, ErrorCode
from .declared import Declared

__all__ = ["Signature", "Signing", "read_signature"]

SALT = "realtime.topic"
VALID_SECONDS = 12 * 60 * 60
CLOCK_SECONDS = 2.0
"""How far the clock of a web server may be ahead of that of the database."""
BEGAN = "realtime.began"
"""The key of the request's scope or environment that holds when the request began."""
FORGED = _("The signature was not made by this site. Load the page again.")
OTHER_TOPIC = _("The signature was made for another topic. Load the page again.")
OTHER_USER = _("The signature was made for another user. Load the page again.")
EXPIRED = _("The signature has expired. Load the page again.")


class Signature(NamedTuple):
    """What a page has signed for one topic."""

    topic: str
    user_id: str
    """The user that the page was made for; empty if that user was not signed in."""
    moment: float
    """When the request of the page began, in seconds since the epoch."""
    rights: RightsVersion | None = None
    """The version of rights under which the page permits to subscribe; None if it does not."""

    @property
    def text(self) -> str:
        """The signed text."""
        return signing.dumps(list(self), salt=SALT)

    @property
    def since(self) -> datetime:
        """The time from which on a client with the page may lack entries."""
        return datetime.fromtimestamp(self.moment - CLOCK_SECONDS, UTC)

    @property
    def is_expired(self) -> bool:
        """Whether the page is too old."""
        return time.time() - self.moment > VALID_SECONDS

    def permits(self, identity: Identity, current: RightsVersion) -> bool:
        """Return whether it permits this user to subscribe under the current version of rights."""
        if self.rights is None or self.user_id != identity.user_id or self.is_expired:
            return False
        # The first entry makes the log, which changes no rights.
        is_first = self.rights == NO_LOG.rights and current[1] == 0
        return is_first or self.rights == current


def read_signature(text: str, topic: str, identity: Identity, path: str) -> Signature:
    """Return the signature that a client has sent; `path` is that of its field.

    Raises `CommandError` if it is forged, of another topic or user, or too old.
    """
    try:
        name, user_id, moment, rights = signing.loads(text, salt=SALT)
    except (signing.BadSignature, ValueError):
        raise CommandError(ErrorCode.INVALID_SIGNATURE, FORGED, path=path) from None
    if name != topic:
        raise CommandError(ErrorCode.INVALID_SIGNATURE, OTHER_TOPIC, path=path)
    if user_id not in ("", identity.user_id):
        raise CommandError(ErrorCode.INVALID_SIGNATURE, OTHER_USER, path=path)
    found = Signature(name, user_id, moment, None if rights is None else (rights[0], rights[1]))
    if found.is_expired:
        raise CommandError(ErrorCode.SIGNATURE_EXPIRED, EXPIRED, path=path)
    return found


class Signing(Declared):
    """The method that signs a topic for a page; it has an async twin with the prefix `a`."""

    def signature(self, request: HttpRequest, *, identity: Identity | None = None) -> str:
        """Return the signature with which the page of a request subscribes to the topic.

        The client gets what was published since the request began. If the class is `signed`, the
        signature also permits to subscribe: so call this before you decide whether the user may.
        `identity` is that of a guest, who is not in the request. Raises `ImproperlyConfigured` for
        a class that has neither `keep` nor `signed`.
        """
        if not self.signed:
            self._check_kept("signatures")
        self._check_thread("signature")
        user_id = _user_id(request) if identity is None else identity.user_id
        rights = None
        if self.signed and user_id:
            rights = on_primary(TopicLog(self.name).mark).rights
        moment = _began_at(request)
        record_page(self.name, moment, permits=rights is not None)
        return Signature(self.name, user_id, moment, rights).text

    async def asignature(self, request: HttpRequest, *, identity: Identity | None = None) -> str:
        """Return the signature with which the page of a request subscribes to the topic."""
        return await sync_to_async(self.signature)(request, identity=identity)


@receiver(request_started, dispatch_uid="realtime.topics.signatures")
def _note_begin(
    environ: dict[str, Any] | None = None, scope: dict[str, Any] | None = None, **_kwargs: Any
) -> None:
    """Note when a request begins: no middleware, which a site could forget or put too late."""
    found = scope if environ is None else environ
    if found is not None:
        found[BEGAN] = time.time()


def _began_at(request: HttpRequest) -> float:
    """Return when a request began; for one that no server has made, that is now."""
    found = getattr(request, "scope", request.META)
    return float(found.get(BEGAN, time.time()))


def _user_id(request: HttpRequest) -> str:
    user = getattr(request, "user", None)
    return Identity.of(user).user_id if user is not None and user.is_authenticated else ""
