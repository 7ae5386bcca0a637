"""The demo's settings with Django Debug Toolbar and its panel, as the page of the panel says."""

import re
from pathlib import Path
from typing import Any

from harness.settings import *  # noqa: F403
from harness.settings import INSTALLED_APPS as APPS
from harness.settings import MIDDLEWARE as USUAL

SNIPPET = re.search(
    r"```python\n(.*?)```",
    (Path(__file__).parents[2] / "docs" / "debug-toolbar.md").read_text(),
    re.DOTALL,
)
_names: dict[str, Any] = {}
exec(SNIPPET[1] if SNIPPET else "", _names)
DEBUG_TOOLBAR_PANELS = _names["DEBUG_TOOLBAR_PANELS"]
DEBUG_TOOLBAR_CONFIG = {
    "SHOW_TOOLBAR_CALLBACK": "tests.toolbar.urls.is_shown",
    "IS_RUNNING_TESTS": False,
}
DEBUG = True
INSTALLED_APPS = [*APPS, "debug_toolbar"]
MIDDLEWARE = ["debug_toolbar.middleware.DebugToolbarMiddleware", *USUAL]
ROOT_URLCONF = "tests.toolbar.urls"
