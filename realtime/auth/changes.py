"""Revalidate connections when Django signals a change of users, sessions or groups.

Bulk queries send no signals; the pulse finds what they change within a minute.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import DatabaseError, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.http import HttpRequest

from ..engine.bus.notes import Cause
from ..engine.notify import revalidate_all, revalidate_user
from ..logs import get_logger
from ..models import Connection
from ..store.accounts import sessions, tokens
from ..store.database.alias import database
from ..store.database.servers import on_working_server
from ..store.database.transactions import on_commit
from ..store.moderation import names
from ..store.rooms import rights
from .tickets import SESSION_FLAG

__all__ = ["connect", "refresh_names", "refresh_rights", "revoke", "revoke_all"]

logger = get_logger("realtime.changes")
PASSING = {"last_login"}
MANY = 100
"""Up to this many users are revalidated one by one; above it, all connections are."""


@on_working_server
def revoke(jti: str, expires_at: float) -> None:
    """Revoke a token, and close its connections once the transaction commits.

    `jti` is its claim of that name. `expires_at` is its own end, in seconds since the epoch: until
    then the revocation is stored. Raises `ValueError` for an id that no token can have.
    """
    revoke_all([jti], expires_at)


@on_working_server
def revoke_all(jtis: Iterable[str], expires_at: float) -> None:
    """Revoke tokens as `revoke` does, by one query."""
    found = list(jtis)
    for jti in found:
        if not jti or len(jti) > tokens.CHARACTERS or "\0" in jti:
            raise ValueError(f"a jti has 1 to {tokens.CHARACTERS} characters")
    tokens.revoke_all(found, expires_at)
    for jti in found:
        revalidate_all(Cause.REVOCATION, jti)


@on_working_server
def refresh_rights() -> None:
    """Re-check the rights of all users in all rooms; call it after bulk changes of groups."""
    rights.change_all_rights()
    revalidate_all(Cause.RIGHTS)


def refresh_names() -> None:
    """Rebuild the looks of all users' names; call it after bulk changes of names."""
    names.delete_user_looks()


def connect() -> None:
    """Connect the receivers of Django's signals; the models must be loaded."""
    model = get_user_model()
    post_save.connect(_user_saved, model, dispatch_uid="realtime.user.saved")
    post_delete.connect(_user_deleted, model, dispatch_uid="realtime.user.deleted")
    post_delete.connect(_group_deleted, Group, dispatch_uid="realtime.group.deleted")
    user_logged_in.connect(_logged_in, dispatch_uid="realtime.login")
    user_logged_out.connect(_logged_out, dispatch_uid="realtime.logout")
    m2m_changed.connect(
        _group_changed, Group.permissions.through, dispatch_uid="realtime.group.permissions"
    )
    for name in ("groups", "user_permissions"):
        if hasattr(model, name):
            through = getattr(model, name).through
            m2m_changed.connect(_user_rights_changed, through, dispatch_uid=f"realtime.{name}")


def _user_saved(
    instance: Any,
    created: bool,
    using: str,
    update_fields: Any = None,
    raw: bool = False,
    **_: Any,
) -> None:
    is_passing = update_fields is not None and not set(update_fields) - PASSING
    if not created and not is_passing:
        revalidate_user(str(instance.pk), Cause.USER, alias=using)
    if not raw and not is_passing and names.are_followed():
        _follow_names(instance)


def _follow_names(user: Any) -> None:
    """Store the looks of the user's names, and revalidate guests with such a name."""
    try:
        with transaction.atomic(using=database()):
            new = names.follow(user)
            guests = Connection.objects.using(database()).filter(look__in=new)
            found = set(guests.values_list("user_key", flat=True)) if new else set()
    except DatabaseError as error:  # as before the migration; the background task adds them
        logger.warning("user %s: the looks of the names were not stored: %r", user.pk, error)
        return
    for user_key in found:
        revalidate_user(user_key, Cause.USER)


def _user_deleted(instance: Any, using: str, **_: Any) -> None:
    revalidate_user(str(instance.pk), Cause.USER, alias=using)


def _logged_in(request: HttpRequest | None, **_: Any) -> None:
    """Give the login an id: the session key may change; a signed cookie does on each page."""
    session = getattr(request, "session", None)
    if session is not None:
        sessions.mark(session)


def _logged_out(request: HttpRequest | None, user: Any, **_: Any) -> None:
    """Revoke the tickets and cookies of a session that ends, and revalidate its connections."""
    session = getattr(request, "session", None)
    if user is None or session is None or not session.session_key:
        return
    token_id = sessions.credential_of(session).token_id
    if session.get(SESSION_FLAG) and not token_id:
        token_id = tokens.session_id(sessions.digests_of(session)[0])
    if token_id:
        tokens.revoke(token_id, session.get_expiry_date().timestamp())
    for digest in sessions.digests_of(session):
        revalidate_user(str(user.pk), Cause.LOGOUT, digest)


def _user_rights_changed(
    instance: Any, action: str, reverse: bool, pk_set: Any, using: str, **_: Any
) -> None:
    if not action.startswith("post_"):
        return
    if not reverse:
        revalidate_user(str(instance.pk), Cause.USER, alias=using)
    elif pk_set is None or len(pk_set) > MANY:
        on_commit(refresh_rights, using)
    else:
        for pk in pk_set:
            revalidate_user(str(pk), Cause.USER, alias=using)


def _group_changed(action: str, using: str, **_: Any) -> None:
    if action.startswith("post_"):
        refresh_rights()


def _group_deleted(**_: Any) -> None:
    refresh_rights()
