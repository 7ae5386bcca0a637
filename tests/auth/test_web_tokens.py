"""JSON Web Tokens are judged by what the settings pin, and by nothing that they say themselves."""

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from asgiref.sync import sync_to_async
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from realtime.auth.authenticator import authenticators
from realtime.auth.identify import identify_token
from realtime.auth.web_tokens import WebToken
from realtime.engine.database.executor import Database
from realtime.models import RevokedToken
from realtime.store.accounts.identity import Authentication
from realtime.wire.errors import Disconnect
from tests.faults._forged import RsaKey, forged, good
from tests.faults._token import AUDIENCE, ISSUER, KEY, SETTINGS

pytestmark = pytest.mark.django_db(transaction=True)
KEYS = RsaKey()


@pytest.fixture(autouse=True)
async def db(settings: Settings) -> AsyncIterator[Database]:
    settings.REALTIME = {**SETTINGS, "DB_THREADS": 0}
    made = Database()
    yield made
    await made.stop()


@pytest.fixture
def ada(db: Database) -> User:
    return get_user_model().objects.create_user("ada", email="ada@example.com")


@pytest.fixture
def bob(db: Database) -> User:
    return get_user_model().objects.create_user("bob", is_active=False)


@pytest.fixture
def key_set(settings: Settings, tmp_path: Path) -> Path:
    """A site that takes RS256 by the keys of a file."""
    file = tmp_path / "keys.json"
    file.write_text(KEYS.key_set)
    change(settings, JWT_ALGORITHMS=["RS256"], JWT_KEY="", JWT_JWKS_FILE=str(file))
    return file


def change(settings: Settings, **values: Any) -> None:
    settings.REALTIME = {**settings.REALTIME, **values}


async def use(token: str, db: Database) -> Authentication | None:
    return await WebToken().afrom_token(token, db)


async def test_a_good_token_is_its_users_until_it_ends(db: Database, ada: User) -> None:
    """The proof has what is needed to end it: its time and its id."""
    found = await use(good(ada.pk, None, jti="one"), db)
    assert found is not None
    assert (found.identity.user, found.credential.token_id) == (ada, "one")
    assert found.credential.expires_at == pytest.approx(time.time() + 3600, abs=5)


async def test_keys_of_a_file_are_chosen_by_their_id(
    db: Database, ada: User, key_set: Path
) -> None:
    """The file may change while the site runs; what is no key set is nobody's token's fault."""
    assert await use(good(ada.pk, KEYS), db) is not None
    other = RsaKey()
    assert await use(good(ada.pk, other), db) is None
    key_set.write_text(other.key_set)
    os.utime(key_set, ns=(1, 1))
    assert await use(good(ada.pk, other), db) is not None
    assert await use(good(ada.pk, KEYS), db) is None
    key_set.write_text("{")
    with pytest.raises(OSError, match="no JSON Web Key Set"):
        await use(good(ada.pk, other), db)


@pytest.mark.parametrize("kind", ["HS256", "RS256"])
async def test_whatever_is_wrong_is_refused_and_logged_by_nobody(
    db: Database,
    ada: User,
    bob: User,
    kind: str,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The corpus of fault A10."""
    if kind == "RS256":
        request.getfixturevalue("key_set")
    caplog.set_level(logging.NOTSET)
    tokens = forged(ada.pk, bob.pk, KEYS if kind == "RS256" else None)
    assert len(tokens) > 60
    for name, token in tokens.items():
        with pytest.raises(Disconnect) as caught:
            await identify_token(token, db)
        assert str(caught.value) == "4500: Sign in first.", name
    logged = [one for one in caplog.records if one.name.startswith(("realtime", "jwt"))]
    assert logged == []


def key_of(header: dict[str, Any]) -> Any:
    """A site's own: from wherever."""
    return {"mine": KEY}[header["kid"]]


async def test_a_function_may_find_the_key(db: Database, ada: User, settings: Settings) -> None:
    """What it does not know is refused."""
    change(settings, JWT_KEY="", JWT_KEY_FUNCTION=f"{__name__}.key_of")
    told = {"sub": str(ada.pk), "exp": time.time() + 60, "aud": AUDIENCE, "iss": ISSUER}
    for kid, is_known in (("mine", True), ("theirs", False)):
        token = jwt.encode(told, KEY, "HS256", headers={"kid": kid})
        assert (await use(token, db) is not None) is is_known


@pytest.mark.parametrize("broken", [{"JWT_KEY": ""}, {"JWT_ALGORITHMS": ["none", "HS256"]}])
async def test_broken_settings_let_nobody_in(
    db: Database, ada: User, settings: Settings, broken: dict[str, Any]
) -> None:
    """An empty secret is one that everybody knows."""
    change(settings, **broken)
    tokens = forged(ada.pk, 0, None)
    for name in ("alg none", "an empty secret", "null as a secret"):
        assert await use(tokens[name], db) is None


async def test_elliptic_curves_work_too(db: Database, ada: User, settings: Settings) -> None:
    """By a public key in PEM."""
    from cryptography.hazmat.primitives import serialization

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    change(settings, JWT_ALGORITHMS=["ES256"], JWT_KEY=pem.decode())
    told = {"sub": str(ada.pk), "exp": time.time() + 60, "aud": AUDIENCE, "iss": ISSUER}
    assert await use(jwt.encode(told, key, "ES256"), db) is not None
    assert await use(jwt.encode(told, ec.generate_private_key(ec.SECP256R1()), "ES256"), db) is None


async def test_another_claim_may_name_another_field(
    db: Database, ada: User, settings: Settings
) -> None:
    """Two users of the same address are nobody."""
    change(settings, JWT_USER_CLAIM="email", JWT_USER_FIELD="email")
    token = good(0, None, email="ada@example.com")
    assert await use(token, db) is not None
    await get_user_model().objects.acreate(username="eve", email="ada@example.com")
    assert await use(token, db) is None


async def test_clocks_may_differ_by_the_leeway(db: Database, ada: User, settings: Settings) -> None:
    """What our clock finds ended goes on for the leeway."""
    now = int(time.time())
    token = good(ada.pk, None, exp=now - 5)
    found = await use(token, db)
    assert found is not None
    assert now < (found.credential.expires_at or 0) <= now + 10
    change(settings, JWT_LEEWAY_SECONDS=0)
    assert await use(token, db) is None
    change(settings, JWT_LEEWAY_SECONDS=3600)
    assert await use(good(ada.pk, None, exp=now - 60), db) is None


async def test_what_ends_in_another_millennium_does_not_end(db: Database, ada: User) -> None:
    """No clock and no date has room for it."""
    found = await use(good(ada.pk, None, exp=10**300), db)
    assert found is not None
    assert found.credential.expires_at is None


async def test_a_revoked_token_is_refused(db: Database, ada: User) -> None:
    """By its id, whatever else it says."""
    from datetime import UTC, datetime

    await RevokedToken.objects.acreate(jti="one", expires_at=datetime.now(UTC))
    assert await use(good(ada.pk, None, jti="one"), db) is None
    assert await use(good(ada.pk, None, jti="two"), db) is not None


async def test_many_at_once_cost_a_query_for_users_and_one_for_ids(
    db: Database, settings: Settings
) -> None:
    """As with sessions."""
    users = [
        await get_user_model().objects.acreate(username=f"user-{number}") for number in range(30)
    ]
    made = [good(user.pk, None, jti=f"id-{user.pk}") for user in users]
    queries = CaptureQueriesContext(connection)  # of the thread that asks
    await sync_to_async(queries.__enter__)()
    found = await asyncio.gather(*(use(token, db) for token in made))
    await sync_to_async(queries.__exit__)(None, None, None)
    assert [one.identity.user for one in found if one] == users
    assert await sync_to_async(len)(queries) <= 6  # the first one, and all others, in turns


def test_the_key_is_in_no_text_of_the_settings(settings: Settings) -> None:
    """Such as a traceback with its values."""
    from realtime.conf import config

    assert KEY not in repr(config())
    assert json.dumps(SETTINGS["AUTHENTICATORS"])
    assert len(authenticators()) == len(SETTINGS["AUTHENTICATORS"])


async def test_a_refresh_token_opens_no_socket(
    db: Database, ada: User, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """As SimpleJWT makes it, with the key of its access tokens; a site may want other kinds."""
    assert await use(good(ada.pk, None, token_type="access"), db) is not None
    assert await use(good(ada.pk, None, token_type="refresh"), db) is None
    assert "'token_type'; see JWT_CLAIMS" in caplog.text
    change(settings, JWT_CLAIMS={"token_type": "sliding"})
    assert await use(good(ada.pk, None, token_type="sliding"), db) is not None
    assert await use(good(ada.pk, None), db) is None
