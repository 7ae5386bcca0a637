"""The tests of the package and its demo."""

import pytest

pytest.register_assert_rewrite("harness.client")  # before it is imported
