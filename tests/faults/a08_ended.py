"""Logins, users and tokens that end while their sockets are open, on two processes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from harness.client.conversation import Closed
from harness.client.websocket import Client
from harness.site import UNLIMITED, Site
from tests.faults._token import SETTINGS, do, headers_of, somebody, token
from tests.faults.fault import Figures, Ground, fault

EXPIRED = 4005
Change = Callable[[Any], Awaitable[object]]


class Case:
    """One user with a socket on each process, and the change that ends both."""

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.name = name
        self.made: Any = None
        self.clients: list[Client] = []
        self.codes: list[int | None] = []

    async def open(self, *, jwt_seconds: float = 0) -> "Case":
        """Connect by session, or by a token that is good for so long."""
        self.made = await somebody(self.site, self.name)
        headers = headers_of(self.made)
        if jwt_seconds:
            self.made["ends_at"] = time.time() + jwt_seconds
            told = token(self.made["pk"], jwt_seconds, jti=self.name)
            headers = {"Authorization": f"Bearer {told}"}
        for url in self.site.urls:
            self.clients.append(await Client.connect(url, headers=headers))
            await self.clients[-1].join("general", history=0)
        return self

    async def ended(self, timeout: float, since: float | None = None) -> float:
        """How long it took, from `since` or now, until both were closed."""
        began = time.monotonic() if since is None else since
        self.codes = await asyncio.gather(*(_ended(client, timeout) for client in self.clients))
        return time.monotonic() - began


async def _ended(client: Client, timeout: float) -> int | None:
    try:
        return await client.closed(timeout)
    except TimeoutError:
        return None


@fault(
    "A8",
    "logout, changed password, deactivation, deletion, revocation and expiry, with a socket on "
    "each of two processes",
    must={
        "not closed with 4005": 0,
        "others ended": 0,
        "logout, s": 5,
        "password, s": 5,
        "own password, s": 5,
        "deactivated, s": 5,
        "deleted, s": 5,
        "revoked, s": 5,
        "token expired, s": 5,
        "ticket of a logout, s": 5,
        "unannounced deactivation, s": 60,
        "unannounced end of a session, s": 60,
    },
)
async def ended(ground: Ground) -> Figures:
    """Nobody else is touched: neither other users nor the same user's other session."""
    most = ground.size(12, 60)
    settings = {
        **UNLIMITED,
        **SETTINGS,
        "GUESTS": False,
        "RECHECK_SECONDS": most,
        "PULSE_SECONDS": ground.size(1, 5),
    }
    site = ground.make_site(
        servers=("daphne", "daphne"), settings=settings, urls="tests.faults._people"
    )
    first = site.servers[0]
    others = [await Case(site, "bystander").open(), await _other_session(site, "logout")]
    cases = {case.name: case for case in others}
    made = ["logout", "password", "own password", "deactivated", "deleted"]
    made += ["silent", "session"]
    for name in made:
        cases[name] = await Case(site, name).open()
    cases["revoked"] = await Case(site, "revoked").open(jwt_seconds=3600)
    cases["ticket"] = await _by_ticket(site, "ticket")
    changes: dict[str, Change] = {
        "logout": lambda one: do(first, "log_out", one["session"]),
        "ticket": lambda one: do(first, "log_out", one["session"]),
        "password": lambda one: do(first, "change_password", name="password"),
        "own password": lambda one: do(first, "change_own_password", one["session"]),
        "deactivated": lambda one: do(first, "deactivate", name="deactivated"),
        "deleted": lambda one: do(first, "delete", name="deleted"),
        "revoked": lambda one: do(
            first, "revoke_token", jti="revoked", expires_at=time.time() + 3600
        ),
    }
    await do(first, "regroup", name="bystander")
    took: dict[str, float] = {}
    for name, change in changes.items():
        began = time.monotonic()
        await change(cases[name].made)
        took[name] = await cases[name].ended(15, began)
    cases["expired"] = await Case(site, "expired").open(jwt_seconds=4)
    left = cases["expired"].made["ends_at"] - time.time()
    took["expired"] = await cases["expired"].ended(30) - left
    # Everybody is looked at soon after coming; what matters here is the turn after that.
    await asyncio.sleep(settings["PULSE_SECONDS"] * 2)
    await asyncio.gather(
        do(first, "deactivate_silently", name="silent"),
        do(first, "expire_silently", key=cases["session"].made["session"]),
    )
    silent = ["silent", "session"]
    found = await asyncio.gather(*(cases[name].ended(most + 15) for name in silent))
    took |= dict(zip(silent, found, strict=True))
    touched = [client for case in others for client in case.clients]
    gone = sum([await _is_gone(client) for client in touched])
    ends = [code for name in took for code in cases[name].codes]
    return {
        "not closed with 4005": sum(code != EXPIRED for code in ends),
        "others ended": gone,
        "logout, s": took["logout"],
        "password, s": took["password"],
        "own password, s": took["own password"],
        "deactivated, s": took["deactivated"],
        "deleted, s": took["deleted"],
        "revoked, s": took["revoked"],
        "token expired, s": max(0.0, took["expired"]),
        "ticket of a logout, s": took["ticket"],
        "unannounced deactivation, s": took["silent"],
        "unannounced end of a session, s": took["session"],
        "sockets": len(ends) + len(touched),
    }


async def _other_session(site: Site, name: str) -> Case:
    """A phone of the user who logs out at the computer."""
    case = Case(site, f"{name} elsewhere")
    await do(site.servers[0], "make", name=case.name)
    for url in site.urls:
        again = await do(site.servers[0], "log_in_again", name=case.name)
        case.clients.append(await Client.connect(url, headers=headers_of(again)))
    gone = await do(site.servers[0], "log_in_again", name=case.name)
    await do(site.servers[0], "log_out", gone["session"])
    return case


async def _by_ticket(site: Site, name: str) -> Case:
    """A socket on each process by a ticket: the second one's comes from the page."""
    case = Case(site, name)
    case.made = await somebody(site, name)
    case.clients.append(await Client.connect(f"{site.urls[0]}?token={case.made['ticket']}"))
    more = await do(site.servers[0], "ticket_of", case.made["session"])
    case.clients.append(await Client.connect(f"{site.urls[1]}?token={more['ticket']}"))
    return case


async def _is_gone(client: Client) -> bool:
    try:
        await client.send("ping")
        await client.expect("pong")
    except (Closed, TimeoutError):
        return True
    await client.close()
    return False
