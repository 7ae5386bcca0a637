"""Send a notice to a room, a user or all clients, or store a message in a room."""

import secrets
import shlex
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from realtime import push
from realtime.management.operation import Operation, is_storable, wrong
from realtime.management.people import key_of_user
from realtime.management.places import room_of
from realtime.management.standard_input import standard_input
from realtime.push.target import LEVELS
from realtime.store.logs import MADE_NONCE

__all__ = ["Command"]

NONCE_CHARACTERS = 64


class Command(Operation):
    """Sends a text to connected clients; with `--message`, it is stored in a room."""

    help = "Send a notice to a room, a user or everyone, or a message to a room."
    resume = "Nothing was sent. Run the same command again."

    def declare(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("text", metavar="TEXT", help="the text; - reads the standard input")
        to = parser.add_mutually_exclusive_group(required=True)
        to.add_argument("--room", metavar="SLUG", help="all clients in a room")
        text = "the clients of a user, by the primary key, or of a guest (guest:…)"
        to.add_argument("--user-id", metavar="ID", help=text)
        to.add_argument("--username", metavar="NAME", help="the clients of a user, by the name")
        to.add_argument("--everyone", action="store_true", help="all clients of the site")
        parser.add_argument("--level", choices=LEVELS, default="info", help="of a notice")
        text = "store a message in the room, in place of a notice; its sender has this name"
        parser.add_argument("--message", metavar="SENDER", help=text)
        text = "with --message: of several runs with the same key, one stores the message"
        parser.add_argument("--nonce", metavar="KEY", help=text)

    def operate(self, options: dict[str, Any]) -> dict[str, Any]:
        """Send the text, and return what was sent to whom."""
        text = _standard_input() if options["text"] == "-" else options["text"]
        if not text.strip():
            raise wrong("The text is empty.")
        if not is_storable(text) or not is_storable(options["message"] or ""):
            raise wrong("The text and the sender must be Unicode without NUL.")
        if options["message"] is not None:
            return self._store(options, text)
        if options["nonce"] is not None:
            raise wrong("--nonce needs --message: a notice is not stored.")
        target, to = _target(options)
        target.notice(text, level=options["level"]).require()
        return {"sent": "notice", "to": to, "level": options["level"]}

    def lines(self, result: dict[str, Any]) -> Iterable[str]:
        """Return what was sent to whom."""
        yield f"A {result['sent']} was sent to {result['to']}."

    def _store(self, options: dict[str, Any], text: str) -> dict[str, Any]:
        if options["room"] is None:
            raise wrong("--message needs --room: only rooms store messages.")
        nonce = secrets.token_hex(8) if options["nonce"] is None else options["nonce"]
        _check(nonce)
        room = room_of(options["room"])
        self.resume = (
            "The message may be stored already. "
            f"Run the same command again with --nonce {shlex.quote(nonce)}: then it is stored once."
        )
        message = push.room(room).message(text, username=options["message"], nonce=nonce)
        position = None if message is None else message.seq
        return {"sent": "message", "to": f"the room {room.slug}", "position": position}


def _check(nonce: str) -> None:
    is_good = 0 < len(nonce) <= NONCE_CHARACTERS and is_storable(nonce)
    if not is_good or nonce.startswith(MADE_NONCE):
        raise wrong(
            f"--nonce must have from 1 to {NONCE_CHARACTERS} characters, "
            f"and must not start with {MADE_NONCE!r}."
        )


def _standard_input() -> str:
    with standard_input() as file:
        return file.read()


def _target(options: dict[str, Any]) -> tuple[push.Target, str]:
    if options["everyone"]:
        return push.everyone(), "everyone"
    if options["room"] is not None:
        room = room_of(options["room"])
        return push.room(room), f"the room {room.slug}"
    key = key_of_user(options)
    return push.user(key), f"the user {key}"
