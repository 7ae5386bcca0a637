"""The identity of a site is the same in all its processes, and another one in every copy."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, connections
from pytest_django import Settings

from harness.services import Services, create_database
from harness.site import Sites, migrate
from realtime.models import Rights
from realtime.store.database import site
from realtime.store.rooms import rights
from tests.store.conftest import switched, together


def identity_at(url: str, key: str = "") -> str:
    """Return the identity of a site whose database is at a URL, with a key of another one."""
    with switched(url):
        if key:
            site.identity()
            Rights.objects.update(site=key)
        return site.identity()


def test_the_migration_makes_a_key(url: str) -> None:
    """Once: migrating again keeps it, and an earlier counter is kept as well."""
    call_command("migrate", "realtime", "0003", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO realtime_rights (id, seq) VALUES (1, 7)")
    call_command("migrate", "realtime", verbosity=0)
    row = Rights.objects.get()
    assert (row.seq, len(row.site)) == (7, 32)
    call_command("migrate", "realtime", verbosity=0)
    assert Rights.objects.get().site == row.site


def test_every_process_on_a_database_has_the_same_identity() -> None:
    """Also where all ask at once and nobody has made the key yet."""
    found = together([site.identity] * 8)
    assert set(found) == {site.identity()}
    assert Rights.objects.count() == 1


def test_a_row_without_a_key_gets_one() -> None:
    """A process of an earlier release may make the row."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO realtime_rights (id, seq) VALUES (1, 7)")
    found = site.identity()
    assert found == site.identity()
    assert Rights.objects.get().seq == 7


def test_a_change_of_rights_keeps_the_identity() -> None:
    """Both live in one row."""
    rights.change_all_rights()
    before = site.identity()
    rights.change_all_rights()
    assert site.identity() == before
    assert rights.all_rights_seq() == 2


def test_the_setting_tells_copies_apart(settings: Settings) -> None:
    """Where the database itself was copied with all that names it."""
    before = site.identity()
    settings.REALTIME = {**settings.REALTIME, "SITE": "staging"}
    assert site.identity() != before


def test_a_copy_of_a_file_is_another_site(sites: Sites, tmp_path: Path) -> None:
    """Although its row is the same; a second name of the same file is the same site."""
    original = Path(sites.database_url("sqlite").removeprefix("sqlite:///"))
    first = identity_at(f"sqlite:///{original}")
    shutil.copy(original, tmp_path / "copy.sqlite3")
    assert identity_at(f"sqlite:///{tmp_path / 'copy.sqlite3'}") != first
    (tmp_path / "link.sqlite3").symlink_to(original)
    assert identity_at(f"sqlite:///{tmp_path / 'link.sqlite3'}") == first


def test_a_file_on_another_machine_is_another_site(
    sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk may be a copy in which the file has the same number."""
    url = sites.database_url("sqlite")
    first = identity_at(url)
    monkeypatch.setattr(site, "boot", lambda: "another")
    assert identity_at(url) not in ("", first)


def test_a_copy_in_the_same_server_is_another_site(services: Services) -> None:
    """As `createdb --template` makes it, and in a schema of its own."""
    server = services.postgres_url()
    original = create_database(server, services.new_name())
    migrate(original)
    first = identity_at(original)
    name = original.rpartition("/")[2]
    copy = create_database(server, services.new_name(), name)
    with switched(copy):
        assert Rights.objects.get().site
    assert identity_at(copy) != first
    with psycopg.connect(original, autocommit=True) as direct:
        direct.execute("CREATE SCHEMA staging")
        direct.execute("CREATE TABLE staging.realtime_rights AS TABLE realtime_rights")
        direct.execute(f'ALTER DATABASE "{name}" SET search_path = staging, public'.encode())
    assert identity_at(original) != first


def test_a_dump_restored_in_another_server_is_another_site(services: Services) -> None:
    """It has the same rows, and may have the same name and number."""
    name, urls = services.new_name(), []
    for server in (services.postgres_url(), services.own_postgres().url):
        urls.append(create_database(server, name))
        migrate(urls[-1])
    assert identity_at(urls[0], "same") != identity_at(urls[1], "same")


def test_a_role_that_may_not_ask_has_an_identity(
    is_postgres: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the address of the database takes the place of what the server says."""
    if not is_postgres:
        pytest.skip("only PostgreSQL is asked")
    monkeypatch.setattr(site, "POSTGRES_LOCATION", "SELECT %s::text FROM forbidden()")
    before = site.identity()
    assert before == site.identity()
    options: dict[str, Any] = connections["default"].settings_dict
    monkeypatch.setitem(options, "HOST", "elsewhere")
    assert site.identity() != before


def test_a_database_in_memory_has_an_identity(django_db_setup: None, db: None) -> None:
    """As tests of a site use it."""
    assert site.identity() == site.identity()


def test_a_database_that_does_not_answer_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error must not look like another identity."""

    def fail(connection: Any) -> tuple[str, ...]:
        raise OperationalError("away")

    for name in ("_postgres_location", "_file_location"):
        replaced: Callable[[Any], tuple[str, ...]] = fail
        monkeypatch.setattr(site, name, replaced)
    with pytest.raises(OperationalError):
        site.identity()
