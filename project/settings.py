"""Settings of the demo project.

Everything that differs between machines comes from the environment: SECRET_KEY, DEBUG,
ALLOWED_HOSTS, CSRF_TRUSTED_ORIGINS, DATABASE_URL, REDIS_URL. Nothing needs to be set.
"""

import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import dj_database_url
from django.utils.crypto import get_random_string

BASE_DIR = Path(__file__).resolve().parent.parent


def listed(name: str) -> list[str]:
    """Return the comma-separated values of an environment variable."""
    return [value.strip() for value in os.environ.get(name, "").split(",") if value.strip()]


def kept_secret(path: Path) -> str:
    """Return the key in a private file; it is made once, also if two processes start together."""
    if not path.exists():
        with NamedTemporaryFile("w", dir=path.parent) as file:
            file.write(get_random_string(64))
            file.flush()
            with suppress(FileExistsError):
                os.link(file.name, path)
    close(path)
    return path.read_text()


def close(path: Path) -> None:
    """Remove the permissions of other users from a file; ignore a missing or foreign one."""
    with suppress(OSError):
        if mode := path.stat().st_mode & 0o077:
            path.chmod(path.stat().st_mode & ~mode)


def own_file(path: Path) -> None:
    """Make the SQLite file private, before SQLite gives `-wal` and `-shm` the same mode."""
    with suppress(OSError):  # the file exists, or the folder does not
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    for end in ("", "-wal", "-shm", "-journal"):
        close(path.with_name(path.name + end))


def database(url: str) -> dict[str, Any]:
    """Return database settings: a pool for PostgreSQL, the write-ahead log for SQLite."""
    found: dict[str, Any] = {**dj_database_url.parse(url)}
    if found["ENGINE"].endswith("postgresql"):
        found["CONN_HEALTH_CHECKS"] = True
        found["OPTIONS"] = {
            **found.get("OPTIONS", {}),
            # Short timeouts: a pool that has given up does not wake its waiters on a new attempt.
            "pool": {"min_size": 2, "max_size": 18, "timeout": 1.5, "reconnect_timeout": 1},
            "connect_timeout": 5,
            "tcp_user_timeout": 10_000,  # milliseconds
        }
    elif found["ENGINE"].endswith("sqlite3"):
        found["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
        }
        if found["NAME"] != ":memory:":
            own_file(Path(found["NAME"]))
    return found


SECRET_KEY = os.environ.get("SECRET_KEY") or kept_secret(BASE_DIR / ".secret_key")
DEBUG = os.environ.get("DEBUG", "").lower() in {"1", "true", "yes", "on"}
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *listed("ALLOWED_HOSTS")]
CSRF_TRUSTED_ORIGINS = listed("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "realtime",
    "project",
    "project.examples",
    "project.examples.echo",
    "project.examples.batch",
    "project.examples.game",
    "project.examples.board",
    "project.examples.dashboard",
    "project.examples.telemetry",
    "project.examples.orders",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "project.middleware.content_security_policy",
    "project.middleware.StaticFiles",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": database(os.environ.get("DATABASE_URL") or f"sqlite:///{BASE_DIR / 'db.sqlite3'}")
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [os.environ["REDIS_URL"]], "prefix": "demo"},
    }
    if os.environ.get("REDIS_URL")
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}
REALTIME = {"GUESTS": True}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}Validator"}
    for name in ("UserAttributeSimilarity", "MinimumLength", "CommonPassword", "NumericPassword")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "home"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "project.storage.HashedStatic"},
}
WHITENOISE_USE_FINDERS = True  # no collectstatic is needed to try the demo
WHITENOISE_MAX_AGE = 0  # plain names must not outlive an update; hashed ones are kept for ever
WHITENOISE_ALLOW_ALL_ORIGINS = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "realtime": {"level": "INFO"},
    },
}
