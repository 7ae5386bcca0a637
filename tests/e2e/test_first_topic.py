"""The page "your first topic", executed from its text alone in an environment with the wheel."""

import asyncio
import json
import re
import shlex
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import pytest
from playwright.async_api import Browser, Route

from harness.client.websocket import Client
from harness.services import Process, Services, answers, free_port
from harness.site import ROOT
from tests.e2e.fresh import Environment, run

PAGE = (ROOT / "docs/topics.md").read_text()
FILE = re.compile(r"^(?:# |<!-- )([\w/]+\.(?:py|html))(, at its end)?(?: -->)?\n")
NEW_ORDER = (
    'python manage.py shell -c "from shop.models import Order;'
    " Order.objects.create(customer_id=1, total='9.99')\""
)
INSTALL = ("python -m venv", "pip install")
"""What the page says of the environment, which the test makes from the wheel instead."""
MYPY = """
[mypy]
strict = True
plugins = mypy_django_plugin.main
[mypy.plugins.django-stubs]
django_settings_module = mysite.settings
[mypy-mysite.settings]
ignore_errors = True
"""


class Block(NamedTuple):
    """A code block of the page."""

    language: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(*found) for found in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)]


class Site(Environment):
    """The site that a reader of the page makes."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        super().__init__(folder, wheel)
        self.folder = folder / "site"
        self.folder.mkdir()
        self.port = free_port()
        self.env["PATH"] = f"{self.python.parent}:{self.env['PATH']}"
        self.command: list[str] = []
        self.process: Process | None = None

    def follow(self, block: Block) -> None:
        """Do what a block of the page says."""
        if block.language == "sh":
            for line in block.text.splitlines():
                self._type(line)
        elif found := FILE.match(block.text):
            path = self.folder / found[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            before = path.read_text() if found[2] else ""
            path.write_text(before + block.text)
        else:
            shell = (str(self.python), "manage.py", "shell", "-c", block.text)
            run(*shell, cwd=self.folder, env=self.env)

    def _type(self, line: str) -> None:
        if line.startswith(INSTALL):
            return
        if line == "python manage.py runserver":
            self.command = [str(self.python), *shlex.split(line)[1:], "--noreload"]
            return
        run("sh", "-ec", line, cwd=self.folder, env=self.env)

    def start(self, services: Services) -> None:
        log = services.folder / f"first-topic-{self.port}.log"
        command = [*self.command, f"127.0.0.1:{self.port}"]
        self.process = Process(command, log, cwd=self.folder, env=self.env)
        self.process.spawn()
        self.process.wait_ready(lambda: answers(self.port))

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.show_log()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


class Session:
    """Logs in, and opens and sends the page of the order; without scripts."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.jar = CookieJar()
        self.opener: OpenerDirector = build_opener(HTTPCookieProcessor(self.jar))

    def get(self, path: str) -> str:
        with self.opener.open(self.site.url(path), timeout=20) as answer:
            return str(answer.read().decode())

    def post(self, path: str, **fields: str) -> str:
        [token] = set(re.findall(r'csrfmiddlewaretoken" value="(\w+)"', self.get(path)))
        data = urlencode({"csrfmiddlewaretoken": token, **fields}).encode()
        with self.opener.open(self.site.url(path), data, timeout=20) as answer:
            return str(answer.read().decode())

    @property
    def cookies(self) -> list[Any]:
        """The cookies, for a browser."""
        url = self.site.url("")
        return [{"name": one.name, "value": str(one.value), "url": url} for one in self.jar]

    @property
    def headers(self) -> dict[str, str]:
        cookies = "; ".join(f"{one.name}={one.value}" for one in self.jar)
        return {"Cookie": cookies, "Origin": self.site.url("")}


@pytest.fixture(scope="module")
def site(
    wheel: Path, services: Services, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The running site, after the first part of the page."""
    made = Site(tmp_path_factory.mktemp("first"), wheel)
    for block in part("Your first topic"):
        made.follow(block)
    made.start(services)
    yield made
    made.stop()


@pytest.fixture
def ada(site: Site) -> Session:
    """A user who has logged in, as the page says."""
    session = Session(site)
    session.get("/admin/login/")
    page = session.post("/admin/login/?next=/order/1/", username="ada", password="secret")
    assert '<b id="state">' in page
    return session


def part(title: str) -> list[Block]:
    """The blocks under a heading of the page."""
    return blocks(PAGE.split(f"# {title}\n")[1].split("\n##")[0])


async def test_a_plain_client_gets_what_the_page_shows(site: Site, ada: Session) -> None:
    subscribe, subscribed, event = [json.loads(one.text) for one in part("On the wire")]
    async with await connect(site, ada) as client, await connect(site) as stranger:
        await client.raw(json.dumps(subscribe))
        assert fits(await client.expect("subscribed"), subscribed)
        await stranger.raw(json.dumps(subscribe))
        assert (await stranger.expect("error"))["code"] == "not_authenticated"
        assert "paid" in await asyncio.to_thread(ada.post, "/order/1/")
        assert fits(await client.expect("event"), event)


async def test_another_window_shows_it_at_once(site: Site, ada: Session, browser: Browser) -> None:
    site.follow(Block("sh", NEW_ORDER))
    context = await browser.new_context()
    await context.add_cookies(ada.cookies)
    first, other = [await context.new_page() for _number in range(2)]
    await first.goto(site.url("/order/2/"))
    async with other.expect_websocket() as socket:
        await other.goto(site.url("/order/2/"))
    await (await socket.value).wait_for_event("framereceived", lambda frame: "subscribed" in frame)
    await first.click("button")
    await other.wait_for_function("document.getElementById('state').textContent == 'paid: 9.99'")
    await context.close()


async def test_a_payment_between_the_page_and_its_subscription_is_shown(
    site: Site, ada: Session, browser: Browser
) -> None:
    """The order is paid after the page was rendered, and before its script has run."""
    site.follow(Block("sh", NEW_ORDER.replace("create(", "create(pk=30, ")))
    context = await browser.new_context()
    await context.add_cookies(ada.cookies)
    page = await context.new_page()

    async def pay_first(route: Route) -> None:
        await asyncio.to_thread(ada.post, "/order/30/")
        await route.continue_()

    await page.route("**/realtime/client.js", pay_first)
    await page.goto(site.url("/order/30/"))
    await page.wait_for_function("document.getElementById('state').textContent == 'paid: 9.99'")
    await context.close()


async def test_the_rest_of_the_page_runs(site: Site, services: Services, ada: Session) -> None:
    """The second topic, and the snippets of the reference, in the same site."""
    topics, call, error, *others = part("A command and a value")
    others += (one for one in blocks(PAGE.split("## Reference\n")[1]) if one.language == "python")
    site.stop()
    site.follow(topics)
    site.start(services)
    code = "\n".join(one.text for one in others)
    async with await connect(site, ada) as client:
        await client.raw(call.text.strip())
        assert fits(await client.expect("error"), json.loads(error.text))
        since = {"seq": 0, "epoch": ""}
        await client.raw(json.dumps({"type": "subscribe", "topic": "order/1", "since": since}))
        subscribed = await client.expect("subscribed")
        assert [one["data"] for one in subscribed["entries"]] == [{"total": "9.99"}]
        await asyncio.to_thread(site.follow, Block("python", code))
        # Another process has published: these events come with the next pulse.
        assert (await client.expect("event", name="paid"))["data"] == {"total": "9.99"}
        assert (await client.expect("event", deleted=True))["key"] == "courier"


async def test_an_order_is_cancelled_once(site: Site, ada: Session) -> None:
    """The row and the event are written together."""
    site.follow(Block("sh", NEW_ORDER.replace("create(", "create(pk=40, ")))
    cancel = {"type": "call", "topic": "order/40", "name": "cancel", "data": {"reason": "late"}}
    async with await connect(site, ada) as client:
        await client.raw(json.dumps(cancel | {"ref": 1}))
        assert (await client.expect("result"))["data"] == {"reason": "late"}
        await client.raw(json.dumps(cancel | {"ref": 2}))
        assert (await client.expect("error"))["code"] == "conflict"
    assert '<b id="state">cancelled</b>' in await asyncio.to_thread(ada.get, "/order/40/")
    assert "cancelled" in await asyncio.to_thread(ada.post, "/order/40/")


def test_type_checkers_accept_the_page(site: Site) -> None:
    python = [one for one in blocks(PAGE) if one.language == "python"]
    *_earlier, topics = [one for one in python if one.text.startswith("# shop/topics.py")]
    site.follow(topics)
    plain = [one.text for one in python if not FILE.match(one.text)]
    (site.folder / "reference.py").write_text("\n".join(plain))
    (site.folder / "mypy.ini").write_text(MYPY)
    files = ("shop/topics.py", "shop/views.py", "reference.py")
    run(str(site.python), "-m", "mypy", *files, cwd=site.folder, env=site.env)


async def connect(site: Site, session: Session | None = None) -> Client:
    url = f"ws://127.0.0.1:{site.port}/ws"
    return await Client.connect(url, headers=session.headers if session else None)


def fits(found: dict[str, Any], told: dict[str, Any]) -> bool:
    """Whether a frame is what the page shows, where an ellipsis stands for any text."""
    texts = [key for key, value in told.items() if value == "…"]
    assert found == {**told, **{key: found.get(key) for key in texts}}
    return all(isinstance(found[key], str) for key in texts)
