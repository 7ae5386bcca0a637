"""Which tokens of an issuer are for access."""

from typing import Any

import pytest

from realtime.auth.claims import misfit

JWT = {"alg": "HS256", "typ": "JWT"}


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"token_type": "access"},
        {"token_type": "Bearer"},
        {"token_use": "access"},
        {"typ": "Bearer"},
        {"type": "access", "scope": "openid profile offline_access"},
        {"scope": ["read", "write"]},
        {"typ": "Bearer", "nonce": "n", "scope": "openid"},
        {"name": "refresh", "roles": ["password_reset"]},
    ],
)
def test_an_access_token_opens_a_socket(claims: dict[str, Any]) -> None:
    """With no claim about its kind, or a good one."""
    assert misfit(JWT, claims, {}) is None


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"token_type": "refresh"}, "token_type"),
        ({"token_type": "sliding"}, "token_type"),
        ({"token_type": ""}, "token_type"),
        ({"token_type": None}, "token_type"),
        ({"token_type": ["access"]}, "token_type"),
        ({"token_use": "id"}, "token_use"),
        ({"typ": "Refresh"}, "typ"),
        ({"typ": "Offline"}, "typ"),
        ({"typ": "ID"}, "typ"),
        ({"typ": "ID", "nonce": "n"}, "typ"),
        ({"type": "reset"}, "type"),
        ({"purpose": "password_reset"}, "purpose"),
        ({"action": "verify"}, "action"),
        ({"scope": "refresh_token"}, "scope"),
        ({"scope": ["read", "password_reset"]}, "scope"),
        ({"nonce": "n"}, "nonce"),
        ({"at_hash": "h"}, "at_hash"),
        ({"token_type": "access", "c_hash": "h"}, "c_hash"),
        ({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}, "events"),
        ({"cnf": {"jkt": "x"}}, "cnf"),
    ],
)
def test_another_kind_of_token_opens_none(claims: dict[str, Any], name: str) -> None:
    """Whatever claim says so."""
    assert misfit(JWT, claims, {}) == name


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ({}, None),
        ({"typ": "at+jwt"}, None),
        ({"typ": "application/AT+JWT"}, None),
        ({"typ": "jwt"}, None),
        ({"typ": "logout+jwt"}, "typ"),
        ({"typ": "refresh"}, "typ"),
        ({"typ": "dpop+jwt"}, "typ"),
        ({"typ": 7}, "typ"),
    ],
)
def test_the_media_type_of_the_header_counts_as_well(header: Any, name: str | None) -> None:
    """RFC 9068 and those that came after RFC 8725."""
    assert misfit(header, {}, {}) == name


def test_an_access_token_may_repeat_the_nonce_of_its_login() -> None:
    """By RFC 9068 the header says that it is one; an ID token has the same claim."""
    claims = {"nonce": "n", "scp": ["openid"]}
    assert misfit({"typ": "at+jwt"}, claims, {}) is None
    assert misfit(JWT, claims, {}) == "nonce"
    assert misfit({"typ": "at+jwt"}, {**claims, "at_hash": "h"}, {}) == "at_hash"


@pytest.mark.parametrize(
    ("claims", "wanted", "name"),
    [
        ({"token_type": "access"}, {"token_type": "access"}, None),
        ({"token_type": "sliding"}, {"token_type": "sliding"}, None),
        ({"token_type": "access"}, {"token_type": "sliding"}, "token_type"),
        ({}, {"token_type": "access"}, "token_type"),
        ({"token_type": "b"}, {"token_type": ["a", "b"]}, None),
        ({"scope": "chat:read chat"}, {"scope": "chat"}, None),
        ({"scope": "chats"}, {"scope": "chat"}, "scope"),
        ({"groups": ["a", "b"]}, {"groups": "b"}, None),
        ({"verified": True}, {"verified": True}, None),
        ({"verified": 1}, {"verified": True}, "verified"),
        ({"tenant": "x"}, {"tenant": "*"}, None),
        ({}, {"tenant": "*"}, "tenant"),
        ({"nonce": "n", "at_hash": "h"}, {"nonce": None, "at_hash": None}, None),
        ({"nonce": "n", "c_hash": "h"}, {"nonce": None}, "c_hash"),
        ({"token_type": "access", "purpose": "reset"}, {"token_type": "access"}, "purpose"),
    ],
)
def test_the_setting_says_what_claims_must_be(
    claims: dict[str, Any], wanted: dict[str, Any], name: str | None
) -> None:
    """For those it names, and only for those."""
    assert misfit(JWT, claims, wanted) == name
