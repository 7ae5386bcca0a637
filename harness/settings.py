"""The demo project's settings with changes for tests, some of them by the environment."""

import json
import os
from typing import Any

os.environ.setdefault("SECRET_KEY", "only-for-tests-" + "0123456789" * 4)

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS, LOGGING, REALTIME

ROOT_URLCONF = os.environ.get("REALTIME_TEST_URLS", "project.urls")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

if os.environ.get("REALTIME_TEST_TOPICS"):
    INSTALLED_APPS = [*INSTALLED_APPS, "harness"]  # which has topics

REALTIME = {**REALTIME, **json.loads(os.environ.get("REALTIME_TEST_SETTINGS", "{}"))}


def layers(name: str, url: str, prefix: str) -> dict[str, object]:
    """Return the channel layer "core", "pubsub" or "lossy"; for other names the in-memory one.

    "forgetful" is the core layer with groups that expire after four seconds.
    """
    if name in ("core", "forgetful"):
        hosts = [{"address": url, "socket_timeout": 15}]
        config = {"hosts": hosts, "prefix": prefix, "capacity": 10_000}
        if name == "forgetful":
            config["group_expiry"] = 4
        return {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": config}
    backends = {
        "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "lossy": "harness.layers.LossyLayer",
    }
    if name in backends:
        return {"BACKEND": backends[name], "CONFIG": {"hosts": [url], "prefix": prefix}}
    return {"BACKEND": "channels.layers.InMemoryChannelLayer"}


_url = os.environ.get("REDIS_URL", "")
_name = os.environ.get("REALTIME_TEST_LAYER") or ("pubsub" if _url else "memory")
_prefix = os.environ.get("REALTIME_TEST_PREFIX", "test")
CHANNEL_LAYERS = {"default": layers(_name, _url, _prefix)}

if os.environ.get("REALTIME_TEST_LOG"):
    _logging: dict[str, Any] = LOGGING
    _logging["root"]["level"] = os.environ["REALTIME_TEST_LOG"]
    for _logger in ("django", "realtime"):
        _logging["loggers"][_logger]["level"] = "NOTSET"
WHITENOISE_MAX_AGE = 60  # otherwise browsers would request every file with every page
