"""The examples: their index, their pages, and their sockets in this process."""

import re
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import set_script_prefix

from project.examples.catalog import EXAMPLES
from realtime.testing import connect
from tests.project.test_pages import Inline

ROOT = Path(__file__).parent.parent.parent
NAMES = [one.name for one in EXAMPLES]


# Pages.


@pytest.mark.django_db
def test_the_index_leads_to_each_example_and_the_chat_to_the_index(client: Client) -> None:
    html = client.get("/examples/").content.decode()
    assert re.findall(r'<li><a href="/examples/(\w+)/">', html) == NAMES
    assert 'href="/examples/"' in client.get("/").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["", *NAMES])
def test_a_page_has_no_inline_code_and_files_that_exist(client: Client, name: str) -> None:
    """The content security policy of the demo holds for it."""
    answer = client.get(f"/examples/{name}/".replace("//", "/"))
    html, parser = answer.content.decode(), Inline()
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    parser.feed(html)
    assert parser.found == []
    files = re.findall(r'(?:src|href)="/static/([^"]+)"', html)
    assert [one for one in files if finders.find(one) is None] == []
    assert len(files) > (2 if name else 1)


@pytest.mark.django_db
def test_a_page_knows_its_socket_below_a_script_name(client: Client) -> None:
    set_script_prefix("/site/")
    try:
        html = client.get("/examples/echo/").content.decode()
    finally:
        set_script_prefix("/")
    assert 'data-socket="/site/ws/echo/"' in html


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_an_app_with_a_docs_page(name: str) -> None:
    """The page shows the consumer as it is."""
    assert apps.is_installed(f"project.examples.{name}")
    page = (ROOT / f"docs/example-{name}.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    [module] = [one.source for one in EXAMPLES if one.name == name]
    source = (ROOT / f"project/examples/{name}/{module}.py").read_text()
    assert snippets[0].strip() in source


def test_an_unknown_example_is_not_found(client: Client) -> None:
    assert client.get("/examples/nothing/").status_code == 404


# Sockets.


@pytest.mark.django_db
async def test_the_echo_sends_text_and_bytes_back() -> None:
    async with connect(path="/ws/echo/") as client:
        for frame in ("hé", "", b"\x00\xff", b""):
            client.send_frame(frame)
            assert await client.next() == frame


@pytest.mark.django_db
async def test_the_batches_have_the_texts_in_capitals_and_in_order() -> None:
    """At most fifty in one."""
    async with connect(path="/ws/batch/") as client:
        for number in range(120):
            client.send_frame(f"text {number}")
        batches: list[list[str]] = []
        while sum(map(len, batches)) < 120:
            batches.append((await client.next())["texts"])
        assert [text for batch in batches for text in batch] == [
            f"TEXT {number}" for number in range(120)
        ]
        assert max(map(len, batches)) == 50


@pytest.mark.django_db
async def test_the_batches_take_no_bytes() -> None:
    async with connect(path="/ws/batch/") as client:
        client.send_frame(b"x")
        assert (await client.closed()).code == 4511
