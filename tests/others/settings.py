"""Those of the tests, with other users; the admin wants `has_perm` and is not there."""

from harness.settings import *  # noqa: F403
from harness.settings import INSTALLED_APPS as ALL

INSTALLED_APPS = [*(one for one in ALL if one != "django.contrib.admin"), "tests.others"]
AUTH_USER_MODEL = "others.Person"
ROOT_URLCONF = "realtime.urls"
TEMPLATES: list[object] = []
