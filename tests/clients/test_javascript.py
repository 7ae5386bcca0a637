"""The browser client as a package: its own tests, and the files that are built from it."""

import subprocess

import pytest

from harness.javascript import PACKAGE, find_node


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.unit
def test_the_tests_in_node_pass() -> None:
    run(*find_node(), "--test")


@pytest.mark.unit
def test_the_static_files_are_built_from_the_sources() -> None:
    """Whoever changes a source runs `make client`."""
    run(*find_node(), "build.js", "--check")


@pytest.mark.unit
def test_the_sources_have_the_types_that_they_declare() -> None:
    run(*find_node("typescript/bin/tsc"), "-p", ".")
