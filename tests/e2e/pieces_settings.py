"""Settings of the site in `pieces.py`: hashed static files, as Django makes them by default."""

import os
from pathlib import Path

from harness.settings import *  # noqa: F403
from harness.settings import STORAGES, TEMPLATES

BACKEND = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
ROOT_URLCONF = "tests.e2e.pieces"
STATIC_ROOT = os.environ["PIECES_STATIC"]
STATICFILES_DIRS = [os.environ["PIECES_HTMX"]]
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": BACKEND}}
WHITENOISE_USE_FINDERS = False
TEMPLATES = [{**TEMPLATES[0], "DIRS": [Path(__file__).parent / "templates"]}]
