"""JSON Web Tokens (RFC 7519) of an issuer that the site trusts; needs the extra `jwt`.

The client does not see why a token is refused. If the signature is valid, a log line names the
claim by which the token may not open a socket.
"""

import json
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import jwt
from django.utils.module_loading import import_string

from ..conf import config
from ..engine.database.executor import Database
from ..logs import get_logger
from ..store.accounts import tokens, users
from ..store.accounts.identity import Authentication, Credential, Identity
from ..wire.clean import is_shallow
from .authenticator import Authenticator
from .claims import misfit

__all__ = ["WebToken"]

logger = get_logger("realtime.auth")

MAX_LEEWAY_SECONDS = 30
LATEST = 253_370_764_800
"""The year 9999: a token that expires later never expires."""
FLAWS = (jwt.PyJWTError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError)
"""Exceptions of PyJWT and its keys for manipulated tokens."""


class WebToken(Authenticator):
    """Accepts a JWT whose signature, times, audience and issuer match the settings."""

    async def afrom_token(self, token: str, db: Database) -> Authentication | None:
        """Authenticate by a JWT; only a valid one needs queries, which are batched."""
        if token.count(".") != 2:
            return None
        # A site's function may block while it loads the key.
        has_function = bool(config().jwt_key_function)
        claims = await db.read(_claims, token) if has_function else _claims(token)
        if claims is None:
            return None
        key = config().jwt_user_field, claims[config().jwt_user_claim]
        user = await db.load(users.users_by, key)
        if user is None or not users.is_good(user):
            return None
        token_id = claims.get("jti", "")
        if token_id and await db.load(tokens.revoked, token_id):
            return None
        return Authentication(
            Identity.of(user), Credential(token_id=token_id, expires_at=_end(claims["exp"]))
        )


def _claims(token: str) -> dict[str, Any] | None:
    settings = config()
    required = {"exp", settings.jwt_user_claim}
    required |= {"aud"} if settings.jwt_audience else set()
    required |= {"iss"} if settings.jwt_issuer else set()
    try:
        header = jwt.get_unverified_header(token)
        claims: dict[str, Any] = jwt.decode(
            token,
            _key(header),
            algorithms=settings.jwt_algorithms,
            audience=settings.jwt_audience or None,
            issuer=settings.jwt_issuer or None,
            leeway=_leeway(),
            options={"require": list(required)},
        )
    except FLAWS:
        return None
    is_good = is_shallow(claims) and _is_sane(claims)
    return claims if is_good and _is_for_access(header, claims) else None


def _is_sane(claims: dict[str, Any]) -> bool:
    user, token_id = claims[config().jwt_user_claim], claims.get("jti", "")
    is_named = type(user) in (str, int) and isinstance(token_id, str)
    return is_named and len(token_id) <= tokens.CHARACTERS and "\0" not in token_id


def _is_for_access(header: dict[str, Any], claims: dict[str, Any]) -> bool:
    name = misfit(header, claims, config().jwt_claims)
    if name is not None:
        logger.warning("a JWT was refused for its claim %r; see JWT_CLAIMS", name)
    return name is None


def _key(header: dict[str, Any]) -> Any:
    settings = config()
    algorithm = header.get("alg")
    if not is_shallow(header):
        raise jwt.DecodeError
    if algorithm not in settings.jwt_algorithms or str(algorithm).lower() == "none":
        raise jwt.InvalidAlgorithmError
    if settings.jwt_key_function:
        key = import_string(settings.jwt_key_function)(header)
    elif settings.jwt_jwks_file:
        key = _listed_key(settings.jwt_jwks_file, header)
    else:
        key = settings.jwt_key
    if not key:  # with an empty key, any client could sign
        raise jwt.InvalidKeyError
    return key


def _listed_key(path: str, header: dict[str, Any]) -> Any:
    status = Path(path).stat()
    found = _key_set(path, status.st_mtime_ns, status.st_size)[header.get("kid")]
    if found.algorithm_name != header["alg"]:
        raise jwt.InvalidAlgorithmError
    return found.key


@lru_cache(maxsize=4)
def _key_set(path: str, changed_at: int, size: int) -> dict[str | None, Any]:
    """Return the keys of a file by `kid`; a changed file is read again.

    Raises `OSError` for an invalid file, because that is no fault of the token.
    """
    try:
        keys = jwt.PyJWKSet.from_dict(json.loads(Path(path).read_text())).keys
    except (AttributeError, LookupError, ValueError, jwt.PyJWTError) as error:
        raise OSError(f"{path} is no JSON Web Key Set: {error}") from None
    return {key.key_id: key for key in keys if key.public_key_use in (None, "sig")}


def _leeway() -> int:
    return min(config().jwt_leeway_seconds, MAX_LEEWAY_SECONDS)


def _end(claim: Any) -> float | None:
    """Return when the connection ends: an expired token that was accepted has the leeway left."""
    expires_at = int(claim)
    if expires_at >= LATEST:
        return None
    return float(expires_at if expires_at > time.time() else expires_at + _leeway())
