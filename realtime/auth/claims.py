"""Decide by its claims whether a JSON Web Token is an access token: only those open sockets.

An issuer signs tokens of several kinds with one key: access, refresh, ID and logout tokens, links
for a new password. The signature, the issuer and often the audience are the same, so a claim has
to distinguish them. The rules are pure; `web_tokens` applies them to verified tokens.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["ANY", "misfit"]

ANY = "*"
"""In `JWT_CLAIMS`: the claim must be present, whatever its value."""
ACCESS = {"access", "access_token", "bearer", "at+jwt"}
"""Values by which issuers say that a token is an access token (RFC 9068; SimpleJWT, Cognito)."""
KINDS = ("token_type", "token_use", "typ", "type", "token_kind")
"""Claims that name the kind of a token: SimpleJWT, Cognito, Keycloak, and sites' own."""
PURPOSES = ("purpose", "action", "intent")
FOREIGN = {
    "at_hash": "OpenID Connect Core, section 3.1.3.6: an ID token",
    "c_hash": "OpenID Connect Core, section 3.3.2.11: an ID token",
    "s_hash": "Financial-grade API, part 2: an ID token",
    "events": "RFC 8417: a security event or logout token",
    "cnf": "RFC 7800: needs another proof, which a socket cannot ask for",
}
"""Claims that no bearer access token has."""
NONCE = "nonce"
"""OpenID Connect Core, section 2: an ID token. Some issuers copy it into access tokens that name
their kind, as Keycloak does before version 24."""
OTHER_SCOPES = {
    "refresh",
    "refresh_token",
    "id_token",
    "reset",
    "password_reset",
    "reset_password",
    "verify_email",
    "email_verification",
    "mfa",
    "2fa",
}
"""Scopes that make a token something else; all others are for access."""
HEADER_KINDS = {"", "jwt", *ACCESS}


def misfit(
    header: Mapping[str, Any], claims: Mapping[str, Any], wanted: Mapping[str, Any]
) -> str | None:
    """Return the first claim by which a verified token may not open a socket, or None.

    `wanted` is `JWT_CLAIMS`: the value a claim must have, a list of values, `"*"` for any, or
    None for no check. Claims that it does not name must not say that the token is of another
    kind.
    """
    for name, value in wanted.items():
        if value is not None and not (name in claims and _fits(claims[name], value, name)):
            return name
    return next((name for name in _other_kinds(header, claims) if name not in wanted), None)


def _fits(claim: Any, value: Any, name: str) -> bool:
    if value == ANY:
        return True
    given = claim.split() if name == "scope" and isinstance(claim, str) else claim
    allowed = value if isinstance(value, (list, tuple, set)) else [value]
    found = given if isinstance(given, list) else [given]
    return any(_is_same(one, other) for one in found for other in allowed)


def _is_same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)  # True is not 1


def _other_kinds(header: Mapping[str, Any], claims: Mapping[str, Any]) -> list[str]:
    """Return the claims that say that a token is no access token."""
    found = [
        name for name in (*KINDS, *PURPOSES) if name in claims and not _is_access(claims[name])
    ]
    found += [name for name in FOREIGN if name in claims]
    if NONCE in claims and not _is_named_access(header, claims):
        found.append(NONCE)
    scope = claims.get("scope")
    words = scope.split() if isinstance(scope, str) else scope if isinstance(scope, list) else []
    if any(isinstance(word, str) and word.lower() in OTHER_SCOPES for word in words):
        found.append("scope")
    if _kind_of(header) not in HEADER_KINDS:
        found.append("typ")
    return found


def _is_named_access(header: Mapping[str, Any], claims: Mapping[str, Any]) -> bool:
    return _kind_of(header) in ACCESS or any(_is_access(claims.get(name)) for name in KINDS)


def _is_access(value: Any) -> bool:
    return isinstance(value, str) and value.lower() in ACCESS


def _kind_of(header: Mapping[str, Any]) -> Any:
    """Return the media type in a token's header; RFC 7515, section 4.1.9: no `application/`."""
    kind = header.get("typ", "")
    return kind.lower().removeprefix("application/") if isinstance(kind, str) else None
