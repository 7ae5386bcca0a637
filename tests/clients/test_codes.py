"""The codes of errors are the same in the browser client, the Python client and the documents."""

import re

import pytest

from harness.javascript import PACKAGE
from realtime.wire.errors import ErrorCode
from realtime.wire.failures import OWN_CODES

pytestmark = pytest.mark.unit

PAGE = (PACKAGE.parent.parent / "docs/client.md").read_text()
TABLE = dict(re.findall(r"^\| `(\w+)` \| ([A-Z][^|]+\.) \|$", PAGE, re.MULTILINE))
MADE = re.compile(r"(?:failure\(|unkept\(|\bcode = )([^,);]*)")
FILES = [path for path in (PACKAGE / "src").glob("*.js") if path.stem != "testing"]


def test_the_document_has_each_code_of_the_browser_client() -> None:
    """Beside those of the protocol."""
    made = [text for path in FILES for text in MADE.findall(path.read_text())]
    used = {code for text in made for code in re.findall(r'"(\w+)"', text)}
    assert len(used) >= 10
    assert used - set(ErrorCode) <= TABLE.keys()


def test_a_code_means_the_same_in_both_clients() -> None:
    shared = OWN_CODES.keys() & TABLE.keys()
    assert len(shared) >= 8
    assert {code: TABLE[code] for code in shared} == {code: OWN_CODES[code] for code in shared}
