"""Forged, stale and broken tokens, in every way that a token may come; and all logs after them."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Iterable
from typing import Any
from urllib.parse import quote

from websockets.exceptions import InvalidStatus

from harness.client.conversation import Closed
from harness.client.websocket import Client
from harness.site import UNLIMITED, Site
from tests.faults._forged import RsaKey, forged, good
from tests.faults._token import SETTINGS, do, somebody
from tests.faults.fault import Figures, Ground, fault

WAYS = ["query", "header", "json", "msgpack"]
KINDS = ("daphne-debug", "uvicorn-debug")
AT_ONCE = 8
SHORT = 12
"""Shorter parts of a token are in a log by chance."""
ENTERED = "let in"


class Target:
    """A site that takes tokens of one algorithm, with people and tokens for it."""

    def __init__(self, site: Site, key: RsaKey | None) -> None:
        self.site = site
        self.key = key
        self.bad: dict[str, str] = {}
        self.good: list[str] = []

    async def fill(self) -> "Target":
        """Make the people, and the tokens."""
        first = self.site.servers[0]
        ada, bob = await somebody(self.site, "ada"), await somebody(self.site, "bob")
        await do(first, "deactivate", name="bob")
        self.bad = forged(ada["pk"], bob["pk"], self.key)
        revoked = good(ada["pk"], self.key, jti="revoked")
        await do(first, "revoke_token", jti="revoked", expires_at=2e9)
        self.bad |= {"revoked": revoked, "of an inactive user's session": bob["ticket"]}
        self.bad["a forged ticket"] = ada["ticket"][:-3] + "abc"
        assert await self.answer(first.ws, "query", ada["ticket"]) == ENTERED
        self.bad["a used ticket"] = ada["ticket"]
        for _ in WAYS:
            self.good.append(good(ada["pk"], self.key, jti="good"))
        return self

    async def answer(self, url: str, way: str, token: str) -> str:
        """What a client hears, as one text."""
        try:
            client = await _connect(url, way, token)
        except InvalidStatus as refused:
            return f"HTTP {refused.response.status_code}"
        try:
            if way in ("json", "msgpack"):
                await client.send("auth", token=token)
            while (item := await client.receive())["type"] != "welcome":
                pass
        except Closed:
            told = [{**item, "ref": None} for item in client.seen]
            return json.dumps([client.socket.close_code, client.socket.close_reason, told])
        await client.close()
        return ENTERED if item["username"] == "ada" else f"let in as {item['username']}"


async def _connect(url: str, way: str, token: str) -> Client:
    if way == "query":
        return await Client.connect(f"{url}?a=1&token={quote(token, safe='')}")
    if way == "header":
        return await Client.connect(url, headers={"Authorization": f"Bearer {token}"})
    return await Client.connect(url, way)


logger = logging.getLogger(__name__)


@fault(
    "A10",
    "forged, stale and broken tokens in the address, a header and first messages; two servers at "
    "their highest log level",
    must={
        "let in": 0,
        "answered otherwise": 0,
        "good refused": 0,
        "tokens in logs": 0,
        "tracebacks": 0,
    },
)
async def tokens(ground: Ground) -> Figures:
    """HS256 by a secret, and RS256 by a key set."""
    key = RsaKey()
    file = ground.services.folder / "keys.json"
    file.write_text(key.key_set)
    by_key = {"JWT_ALGORITHMS": ["RS256"], "JWT_KEY": "", "JWT_JWKS_FILE": str(file)}
    let_in = otherwise = refused = found = tracebacks = tried = 0
    for used, more in ((None, {}), (key, by_key)):
        site = await _start(ground, {**SETTINGS, **more}, used).fill()
        for number, server in enumerate(site.site.servers):
            cases = _cases(site.bad.values(), None if ground.is_full else number)
            answers = await gathered(*(site.answer(server.ws, *case) for case in cases))
            told = Counter(answers)
            [(usual, times)] = told.most_common(1)
            for case, answer in zip(cases, answers, strict=True):
                if answer != usual:
                    logger.error("%s by %s: %s", *reversed(case), answer)
            tried += len(cases)
            otherwise += len(cases) - times
            let_in += sum(many for one, many in told.items() if one.startswith(ENTERED))
            for way, token in zip(WAYS, site.good, strict=True):
                refused += await site.answer(server.ws, way, token) != ENTERED
        for server in site.site.servers:
            log = server.log()
            found += sum(_is_in(log, token) for token in [*site.bad.values(), *site.good])
            tracebacks += log.count("Traceback")
    return {
        "let in": let_in,
        "answered otherwise": otherwise,
        "good refused": refused,
        "tokens in logs": found,
        "tracebacks": tracebacks,
        "kinds": len(forged(1, 2, None) | forged(1, 2, key)) + 4,
        "tried": tried,
    }


def _start(ground: Ground, settings: dict[str, Any], key: RsaKey | None) -> Target:
    full = {**UNLIMITED, **settings, "GUESTS": False}
    site = ground.make_site(servers=(), settings=full, urls="tests.faults._people")
    site.start(*KINDS, REALTIME_TEST_LOG="DEBUG")
    return Target(site, key)


def _cases(tokens: Iterable[str], server: int | None) -> list[tuple[str, str]]:
    """Each token by every way; in the short form by one on each server, another on the next."""
    cases = []
    for number, token in enumerate(tokens):
        ways = WAYS if server is None else [WAYS[(number + server) % len(WAYS)]]
        for way in ways:
            if "\0" in token:  # a frame with NUL is no command at all
                way = "query"
            elif way == "header" and not (token.isascii() and token.isprintable()):
                way = "json"
            cases.append((way, token))
    return cases


async def gathered(*answers: Awaitable[str]) -> list[str]:
    """A few at a time."""
    few = asyncio.Semaphore(AT_ONCE)

    async def one(answer: Awaitable[str]) -> str:
        async with few:
            return await answer

    return await asyncio.gather(*(one(answer) for answer in answers))


def _is_in(log: str, token: str) -> bool:
    """Whether a log has it, its claims or its signature, plain or as the address has it."""
    parts = [token, *token.replace(":", ".").split(".")[1:]]
    return any(form in log for part in parts if len(part) >= SHORT for form in {part, quote(part)})
