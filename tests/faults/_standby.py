"""A site whose database has a standby, behind an address that can lead to either."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.services import Copy, Postgres, create_database
from harness.site import Site, migrate
from tests.faults.fault import Ground
from tests.faults.traffic import TWO
from tests.proxy import Proxy, beside


@dataclass(frozen=True)
class Pair:
    """The primary and its standby, and the address by which the site reaches its database."""

    site: Site
    primary: Postgres
    standby: Copy
    address: Proxy

    def switch(self) -> None:
        """Let the address lead to the standby."""
        self.address.target = self.standby.port


@contextmanager
def with_standby(ground: Ground) -> Iterator[Pair]:
    """Start a primary, a standby that follows it, and two servers of a site."""
    primary = ground.services.new_postgres()
    migrate(create_database(primary.url, "site"))
    standby = ground.services.copy_of(primary, follows=True)
    with beside(primary.port) as address:
        url = f"postgresql://postgres@127.0.0.1:{address.port}/site"
        yield Pair(ground.make_site(servers=TWO, database_url=url), primary, standby, address)
