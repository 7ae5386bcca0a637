"""JSON Web Tokens that nobody should take, by what is wrong with them."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.faults._token import AUDIENCE, ISSUER, KEY

__all__ = ["RsaKey", "forged", "good"]

KID = "one"


class RsaKey:
    """A key pair, and how its public half is published."""

    def __init__(self) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = self.private.public_key()
        self.pem = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.der = public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.jwk = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)

    @property
    def key_set(self) -> str:
        """As a JSON Web Key Set."""
        return json.dumps({"keys": [{**self.jwk, "kid": KID, "use": "sig", "alg": "RS256"}]})


def good(pk: int, key: RsaKey | None, **claims: Any) -> str:
    """A token as it should be: by the secret, or by a key."""
    told = _claims(pk) | claims
    told = {name: value for name, value in told.items() if value is not ...}
    if key is None:
        return jwt.encode(told, KEY, algorithm="HS256")
    return jwt.encode(told, key.private, algorithm="RS256", headers={"kid": KID})


def forged(pk: int, inactive: int, key: RsaKey | None) -> dict[str, str]:
    """For a site that takes HS256 by the secret, or RS256 by `key`; `pk` is a good user."""
    return _algorithms(pk, key) | _claimed(pk, inactive, key) | _mangled(pk, key)


def _claims(pk: int) -> dict[str, Any]:
    now = int(time.time())
    return {"sub": str(pk), "exp": now + 3600, "iat": now, "aud": AUDIENCE, "iss": ISSUER}


def _algorithms(pk: int, key: RsaKey | None) -> dict[str, str]:
    """Signed by nobody, by somebody else, or otherwise than was agreed."""
    told, other, public = _claims(pk), RsaKey(), key or RsaKey()
    jwk = json.dumps(public.jwk)
    signed = good(pk, key)
    found = {f"alg {name}": _by_hand({"alg": name}, told) for name in ("none", "None", "NONE")}
    found |= {
        "alg none with a signature": _by_hand({"alg": "none"}, told) + signed.split(".")[2],
        "no alg": _by_hand({"typ": "JWT"}, told),
        "alg null": _by_hand({"alg": None}, told),
        "alg a list": _by_hand({"alg": ["HS256", "RS256"]}, told),
        "the public key as a secret": _by_hand({"alg": "HS256", "kid": KID}, told, public.pem),
        "its bytes as a secret": _by_hand({"alg": "HS256", "kid": KID}, told, public.der),
        "its text as a secret": _by_hand({"alg": "HS256", "kid": KID}, told, jwk.encode()),
        "an empty secret": _by_hand({"alg": "HS256"}, told, b""),
        "another secret": _by_hand({"alg": "HS256"}, told, b"another secret, also long enough"),
        "null as a secret": _by_hand({"alg": "HS256", "kid": "../../dev/null"}, told, b"\0"),
        "an injected kid": _by_hand({"alg": "HS256", "kid": "x' UNION SELECT '"}, told, b""),
        "kid a list": _by_hand({"alg": "RS256", "kid": [KID]}, told, b"x"),
        "another key": jwt.encode(told, other.private, "RS256", headers={"kid": KID}),
        "a key that comes along": jwt.encode(
            told, other.private, "RS256", headers={"kid": KID, "jwk": other.jwk}
        ),
        "a key from elsewhere": jwt.encode(
            told, other.private, "RS256", headers={"jku": "https://evil.example/keys"}
        ),
        "another family": jwt.encode(told, ec.generate_private_key(ec.SECP256R1()), "ES256"),
        "a signature of zeros": _by_hand({"alg": "ES256"}, told) + "A" * 86,
        "critical and unknown": _signed(told, key, {"crit": ["x"], "x": 1}),
        "a detached payload": _signed(told, key, {"b64": False, "crit": ["b64"]}),
    }
    if key is None:
        found["another length"] = jwt.encode(told, KEY.ljust(64, "."), "HS512")
        found["HS384 by the secret"] = jwt.encode(told, KEY.ljust(48, "."), "HS384")
    else:
        found["RS512 by the key"] = jwt.encode(told, key.private, "RS512", headers={"kid": KID})
        found["PS256 by the key"] = jwt.encode(told, key.private, "PS256", headers={"kid": KID})
        found["no kid"] = jwt.encode(told, key.private, "RS256")
        found["an unknown kid"] = _signed(told, key, {"kid": "two"})
    return found


def _claimed(pk: int, inactive: int, key: RsaKey | None) -> dict[str, str]:
    """Signed well, and still for nobody here."""
    now = int(time.time())
    wrong: dict[str, dict[str, Any]] = {
        "another audience": {"aud": "elsewhere"},
        "no audience": {"aud": ...},
        "other audiences": {"aud": ["a", "b"]},
        "an audience like ours": {"aud": AUDIENCE.upper()},
        "an audience that is none": {"aud": {AUDIENCE: True}},
        "another issuer": {"iss": f"{ISSUER}.evil.example"},
        "no issuer": {"iss": ...},
        "issuers": {"iss": [ISSUER]},
        "expired": {"exp": now - 60},
        "no end": {"exp": ...},
        "an end that is none": {"exp": "never"},
        "an end of nothing": {"exp": None},
        "an end of NaN": {"exp": float("nan")},
        "an infinite end": {"exp": float("inf")},
        "a true end": {"exp": True},
        "not yet": {"nbf": now + 3600},
        "not yet, in words": {"nbf": "soon"},
        "made tomorrow": {"iat": now + 86400},
        "nobody": {"sub": ...},
        "null": {"sub": None},
        "a number": {"sub": pk},
        "a list": {"sub": [str(pk)]},
        "empty": {"sub": ""},
        "an unknown user": {"sub": "987654"},
        "an inactive user": {"sub": str(inactive)},
        "no number": {"sub": "ada"},
        "a huge number": {"sub": "9" * 40},
        "NUL": {"sub": f"{pk}\0"},
        "an id that is none": {"jti": 7},
        "a long id": {"jti": "x" * 300},
        "an id with NUL": {"jti": "\0"},
        "long": {"more": "x" * 4500},
    }
    found = {name: _signed(_claims(pk) | claims, key) for name, claims in wrong.items()}
    deep = json.dumps(_claims(pk))[:-1] + ',"deep":' + "[" * 1000 + "]" * 1000 + "}"
    found["deep"] = _signed(deep.encode(), key)
    found["deep header"] = _signed(_claims(pk), key, {"deep": json.loads("[" * 100 + "]" * 100)})
    found["no object"] = _signed(b"[]", key)
    found["no JSON"] = _signed(b"{", key)
    found["no UTF-8"] = _signed(b'{"sub":"\xff"}', key)
    return found


def _mangled(pk: int, key: RsaKey | None) -> dict[str, str]:
    """Made of a good one."""
    token = good(pk, key)
    head, body, signature = token.split(".")
    other = good(pk + 1, key).split(".")[1]
    return {
        "cut": token[:-4],
        "without a signature": f"{head}.{body}.",
        "of two parts": f"{head}.{body}",
        "of four parts": f"{token}.x",
        "of five parts": f"{token}.x.x",
        "another's claims": f"{head}.{other}.{signature}",
        "another signature": f"{head}.{body}.{signature[::-1]}",
        "no token": "garbage-that-is-no-token",
        "dots": ".." + "." * 20,
        "not base64": "!!!.???.***",
        "with a byte order mark": f"\ufeff{token}",
        "with NUL": f"{token}\0",
        "quoted": f'"{token}"',
    }


def _signed(told: Any, key: RsaKey | None, headers: dict[str, Any] | None = None) -> str:
    claims = (
        {name: value for name, value in told.items() if value is not ...}
        if isinstance(told, dict)
        else told
    )
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    secret, algorithm = (KEY, "HS256") if key is None else (key.private, "RS256")
    more = {"typ": "JWT", **({"kid": KID} if key else {}), **(headers or {})}
    signing = _text({"alg": algorithm, **more}) + b"." + _text(payload)
    used = jwt.get_algorithm_by_name(algorithm)
    signature = used.sign(signing, used.prepare_key(secret))
    return (signing + b"." + _base64(signature)).decode()


def _by_hand(header: dict[str, Any], told: dict[str, Any], secret: bytes | None = None) -> str:
    signing = _text(header) + b"." + _text(told)
    signature = b"" if secret is None else hmac.digest(secret, signing, hashlib.sha256)
    return (signing + b"." + _base64(signature)).decode()


def _text(value: Any) -> bytes:
    return _base64(value if isinstance(value, bytes) else json.dumps(value).encode())


def _base64(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")
