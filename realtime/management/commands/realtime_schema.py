"""Print or check the schema of what the site's sockets and topics receive and send."""

from argparse import ArgumentParser
from difflib import unified_diff
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from realtime.schema.asyncapi import asyncapi
from realtime.schema.json_schema import json_schema
from realtime.schema.surface import Surface
from realtime.schema.typescript import typescript

__all__ = ["Command"]

KINDS = {
    "json-schema": "print JSON Schema, draft 2020-12 (the default)",
    "asyncapi": "print an AsyncAPI 3 document as JSON",
    "typescript": "print TypeScript declarations",
}
SHOWN_LINES = 40


class Command(BaseCommand):
    """Writes the commands, replies and events of all consumers and topics in one language."""

    help = "Print the schema of the site's sockets and topics: JSON Schema, AsyncAPI or TypeScript."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        kinds = parser.add_mutually_exclusive_group()
        for kind, text in KINDS.items():
            name = f"--{kind}"
            kinds.add_argument(name, action="store_const", const=kind, dest="kind", help=text)
        parser.set_defaults(kind="json-schema")
        files = parser.add_mutually_exclusive_group()
        files.add_argument("--output", type=Path, metavar="FILE", help="write to this file")
        files.add_argument(
            "--check", type=Path, metavar="FILE", help="end with code 1 if this file is different"
        )
        parser.add_argument(
            "--consumer",
            action="append",
            default=[],
            metavar="PATH",
            help="also describe this consumer class, by its dotted path",
        )
        parser.add_argument("--title", default=_title(), help="the title of the AsyncAPI document")
        parser.add_argument("--release", default="1", help="the version of the AsyncAPI document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Execute the command."""
        document = self._document(options)
        if options["check"]:
            _check(options["check"], document, f"--{options['kind']}")
        elif options["output"]:
            options["output"].write_text(document, encoding="utf-8")
        else:
            self.stdout.write(document, ending="")

    def _document(self, options: dict[str, Any]) -> str:
        try:
            surface = Surface.of_site(options["consumer"])
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        if options["kind"] == "asyncapi":
            return asyncapi(surface, title=options["title"], release=options["release"])
        return typescript(surface) if options["kind"] == "typescript" else json_schema(surface)


def _title() -> str:
    return str(settings.ROOT_URLCONF).partition(".")[0]


def _check(file: Path, document: str, kind: str) -> None:
    """Raise `CommandError`, with the first lines that differ, if a file is not up to date."""
    try:
        found = file.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
    if found == document:
        return
    lines = unified_diff(found.splitlines(), document.splitlines(), str(file), "schema", n=1)
    shown = "\n".join(islice(lines, SHOWN_LINES))
    write = f"manage.py realtime_schema {kind} --output {file}"
    raise CommandError(f"{file} is not the schema of this site. Run `{write}`.\n{shown}")
