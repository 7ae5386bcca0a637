"""The migrations say what the models say, and can be taken back."""

from django.core.management import call_command
from django.db import connection


def test_nothing_is_missing_from_the_migrations() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def tables() -> set[str]:
    names = connection.introspection.table_names()
    return {name for name in names if name.startswith("realtime_")}


def test_the_migrations_can_be_reversed_and_applied_again() -> None:
    before = tables()
    call_command("migrate", "realtime", "zero", verbosity=0)
    try:
        assert tables() == set()
    finally:
        call_command("migrate", "realtime", verbosity=0)
    assert tables() == before != set()
