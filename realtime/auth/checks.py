"""System checks of the authentication settings."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import FieldDoesNotExist
from django.utils.module_loading import import_string

from ..conf import Config, config
from .authenticator import Authenticator
from .sessions import SessionCookie

__all__ = ["check_authenticators"]

WEB_TOKENS = "realtime.auth.web_tokens"
ALGORITHMS = {f"{family}{bits}" for family in ("HS", "RS", "ES", "PS") for bits in (256, 384, 512)}
ALGORITHMS |= {"EdDSA", "ES256K"}
KEY_BYTES = 32
"""RFC 7518, section 3.2: a secret at least as long as the hash."""


@register("realtime")
def check_authenticators(**kwargs: Any) -> list[CheckMessage]:
    """E009 classes that exist; E010 PyJWT; E011, E012, E013, W009, W010 JWTs; E020 sessions."""
    try:
        paths = [path for path in config().authenticators if isinstance(path, str)]
    except (AttributeError, TypeError):  # E001 and E007 report it
        return []
    found = [message for path in paths for message in _missing(path)]
    if found:
        return found
    jwt = [message for path in paths if _is_jwt(path) for message in _jwt(config())]
    return [*jwt, *_sessions(paths)]


def _sessions(paths: list[str]) -> Iterator[CheckMessage]:
    if not any(issubclass(import_string(path), SessionCookie) for path in paths):
        return
    try:
        store = import_module(settings.SESSION_ENGINE).SessionStore
        model = store.get_model_class() if hasattr(store, "get_model_class") else None
        is_missing = model and not apps.get_containing_app_config(model.__module__)
    except (ImportError, RuntimeError, AttributeError):
        is_missing = True
    if is_missing:
        text = f"Sessions sign users in, and SESSION_ENGINE {settings.SESSION_ENGINE!r} has no app."
        hint = "Put django.contrib.sessions into INSTALLED_APPS, or take SessionCookie out of "
        hint += "REALTIME['AUTHENTICATORS']."
        yield Error(text, hint=hint, id="realtime.E020")


def _missing(path: str) -> Iterator[CheckMessage]:
    try:
        found = import_string(path)
    except ImportError as error:
        if error.name == "jwt":
            hint = "Install django-channels-realtime[jwt]."
            yield Error("JWTs need PyJWT.", hint=hint, id="realtime.E010")
        else:
            text = f"REALTIME['AUTHENTICATORS'] has {path!r}, which cannot be imported."
            yield Error(text, hint=str(error), id="realtime.E009")
        return
    if not (isinstance(found, type) and issubclass(found, Authenticator)):
        text = f"REALTIME['AUTHENTICATORS'] has {path!r}, which is no Authenticator."
        yield Error(text, id="realtime.E009")


def _is_jwt(path: str) -> bool:
    return any(one.__module__ == WEB_TOKENS for one in import_string(path).__mro__)


def _jwt(given: Config) -> Iterator[CheckMessage]:
    yield from _keys(given)
    yield from _algorithms(given.jwt_algorithms)
    yield from _user_field(given.jwt_user_field)
    if not given.jwt_audience:
        hint = "Set JWT_AUDIENCE to what the issuer writes into aud for this site."
        text = "A JWT that was made for another site is accepted here too."
        yield CheckWarning(text, hint=hint, id="realtime.W009")


def _keys(given: Config) -> Iterator[CheckMessage]:
    sources = [given.jwt_key, given.jwt_key_function, given.jwt_jwks_file]
    if sum(map(bool, sources)) != 1:
        text = "JWTs need one of JWT_KEY, JWT_KEY_FUNCTION and JWT_JWKS_FILE."
        yield Error(text, id="realtime.E011")
    elif given.jwt_key_function:
        try:
            import_string(given.jwt_key_function)
        except ImportError as error:
            text = "REALTIME['JWT_KEY_FUNCTION'] cannot be imported."
            yield Error(text, hint=str(error), id="realtime.E011")
    is_secret = any(name.startswith("HS") for name in given.jwt_algorithms)
    if is_secret and given.jwt_key and len(given.jwt_key.encode()) < KEY_BYTES:
        text = f"JWT_KEY is shorter than {KEY_BYTES} bytes: it can be guessed from any token."
        yield CheckWarning(text, id="realtime.W010")


def _algorithms(names: list[str]) -> Iterator[CheckMessage]:
    unknown = sorted(set(names) - ALGORITHMS)
    secret = [name for name in names if name.startswith("HS")]
    if not names or unknown:
        text = f"JWT_ALGORITHMS has {unknown}." if unknown else "JWT_ALGORITHMS is empty."
        hint = f"Known: {', '.join(sorted(ALGORITHMS))}; `none` is not allowed."
        yield Error(text, hint=hint, id="realtime.E012")
    elif secret and len(secret) < len(names):
        hint = "With both, any client that knows the public key could sign with it as a secret."
        text = "JWT_ALGORITHMS has HS algorithms together with others."
        yield Error(text, hint=hint, id="realtime.E012")


def _user_field(name: str) -> Iterator[CheckMessage]:
    meta: Any = get_user_model()._meta
    try:
        is_unique = name == "pk" or meta.get_field(name).unique
    except (AttributeError, FieldDoesNotExist):
        is_unique = False
    if not is_unique:
        text = f"JWT_USER_FIELD: the user model has no unique field {name!r}."
        yield Error(text, id="realtime.E013")
