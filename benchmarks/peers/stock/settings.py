"""Settings of the stock chat; REDIS_URL, DATABASE_URL and STOCK_LAYER come from the environment."""

import os
from typing import Any

import dj_database_url


def database(url: str) -> dict[str, Any]:
    """As in the demo project: a pool for PostgreSQL, the write-ahead log for SQLite."""
    found: dict[str, Any] = {**dj_database_url.parse(url)}
    if found["ENGINE"].endswith("postgresql"):
        found["CONN_HEALTH_CHECKS"] = True
        found["OPTIONS"] = {"pool": {"min_size": 2, "max_size": 12, "timeout": 5}}
    else:
        found["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
        }
    return found


def channel_layer(kind: str, redis_url: str) -> dict[str, Any]:
    """A layer that drops nothing here; redis-py's 5 s would cut the core layer's blocking reads."""
    if kind == "memory":
        return {
            "BACKEND": "channels.layers.InMemoryChannelLayer",
            "CONFIG": {"capacity": 10_000},
        }
    if kind == "pubsub":
        return {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [redis_url]},
        }
    return {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {
            "hosts": [{"address": redis_url, "socket_timeout": 15}],
            "capacity": 10_000,
        },
    }


SECRET_KEY = "only for benchmarks"
INSTALLED_APPS = [
    "daphne",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "channels",
    "benchmarks.peers.stock",
]
ASGI_APPLICATION = "benchmarks.peers.stock.asgi.application"
DATABASES = {"default": database(os.environ["DATABASE_URL"])}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CHANNEL_LAYERS = {
    "default": channel_layer(os.environ.get("STOCK_LAYER", "core"), os.environ.get("REDIS_URL", ""))
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
