"""Each client is told in its own language why something is refused."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy, override, trans_real

from realtime import moderation, push, testing
from realtime.consumers import (
    ChatConsumer,
    Command,
    CommandError,
    Disconnect,
    Done,
    ErrorCode,
    command,
)
from realtime.engine.connections import language as language_module
from realtime.engine.connections.language import MIDDLEWARE
from realtime.engine.engine import Engine
from realtime.testing import Client, connect

GERMAN = {"accept-language": "de"}


def fail() -> str:
    raise RuntimeError("a translation")


TEXTS = {
    "lazy": gettext_lazy("This account is inactive."),
    "html": format_html("no {}", "<x>"),
    "failing": lazy(fail, str)(),
    "surrogate": "no \ud800",
}
UNKNOWN = "There was an unexpected error on the server."


class Refuse(Command):
    how: str = "lazy"
    is_end: bool = False


class OwnChat(ChatConsumer):
    @command
    async def refuse_all(self, command: Refuse) -> Done:
        if command.is_end:
            raise Disconnect(4900, TEXTS[command.how])
        raise CommandError(ErrorCode.PERMISSION_DENIED, TEXTS[command.how])


@pytest.fixture(autouse=True)
def languages(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]


def german() -> AbstractAsyncContextManager[Client]:
    return connect(application=OwnChat.as_asgi(), encoding="ndjson", headers=GERMAN)


@pytest.mark.parametrize(
    ("kind", "fields", "texts"),
    [
        ("join", {"room": "nowhere"}, ("There is no such room.", "Diesen Raum gibt es nicht.")),
        (
            "jion",
            {},
            (
                "There is no command 'jion'. Did you mean 'join'?",
                "Den Befehl 'jion' gibt es nicht. Meinten Sie 'join'?",
            ),
        ),
        (
            "message",
            {"room": "general", "content": "x" * 5000},
            (
                "A message may have at most 4000 characters.",
                "Eine Nachricht darf höchstens 4000 Zeichen haben.",
            ),
        ),
    ],
)
async def test_two_clients_of_one_process_are_told_in_two_languages(
    engine: Engine, kind: str, fields: dict[str, Any], texts: tuple[str, str]
) -> None:
    """By the store, by the wire, and with values in the sentence."""
    async with connect(application=OwnChat.as_asgi()) as english, german() as other:
        for socket, text in zip((english, other, english), (*texts, texts[0]), strict=True):
            await socket.join("general")
            assert (await socket.ask(kind, **fields))["message"] == text


async def test_a_site_gives_its_own_refusals_lazily(engine: Engine) -> None:
    async with german() as socket:
        reply = await socket.ask("refuse")
        assert reply["message"] == "Dieser Benutzer ist inaktiv."


async def test_the_last_error_of_a_frame_is_two_sentences(engine: Engine) -> None:
    async with german() as socket:
        socket.send_frame("\n".join(["{}"] * 9))
        errors = [await socket.next("error") for _ in range(5)]
        rest = "Nach 5 fehlerhaften Befehlen wird der Rest des Frames nicht gelesen."
        assert [str(error["message"]).endswith(f". {rest}") for error in errors] == [False] * 4 + [
            True
        ]


async def test_a_mute_and_the_end_are_told_in_it(engine: Engine) -> None:
    """The words of a moderator stay as they are."""
    async with german() as socket:
        await socket.join("general")
        await moderation.amute(None, socket.welcome["user_id"], reason="There is no such room.")
        room = await socket.next("room")
        assert room["muted"] == "Sie sind stummgeschaltet. Grund: „There is no such room.“."
        reply = await socket.ask("auth", name="Eva")
        assert str(reply["message"]).endswith("behalten Sie Ihren Namen.")
        push.everyone().disconnect()
        told = await socket.next("disconnect")
        code = (await socket.closed()).code
        assert (told["reason"], code) == ("Ein Administrator hat die Verbindung beendet.", 4503)


@pytest.mark.parametrize(
    ("how", "text"),
    [("html", "no &lt;x&gt;"), ("failing", UNKNOWN), ("surrogate", "no ?")],
)
async def test_any_sentence_of_a_site_is_answered(engine: Engine, how: str, text: str) -> None:
    """A safe string is text, and a translation that fails has a default."""
    async with german() as socket:
        assert (await socket.ask("refuse", how=how))["message"] == text
        socket.send("refuse", how=how, is_end=True)
        told = await socket.next("disconnect")
        code = (await socket.closed()).code
        assert (told["reason"], code) == (text, 4900)


async def test_a_safe_string_can_be_pushed(engine: Engine) -> None:
    async with german() as socket:
        await push.everyone().anotice(mark_safe("<b>"))
        assert (await socket.next("notice"))["text"] == "<b>"
        await push.everyone().adisconnect(mark_safe("<i>"))
        told = await socket.next("disconnect")
        assert told["reason"] == "<i>"


async def test_a_push_of_the_default_reason_is_translated_by_each_process(engine: Engine) -> None:
    """Whatever language is active where it is called."""
    async with connect(application=OwnChat.as_asgi()) as english:
        with override("de"):
            push.everyone().disconnect()
        told = await english.next("disconnect")
        assert told["reason"] == "An administrator ended the connection."


async def test_a_wrong_catalog_does_not_stop_a_ban(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A catalog of the site has another name in the sentence of a ban."""
    text = "You are banned until {end}."
    catalog = trans_real.translation("fr")._catalog
    monkeypatch.setattr(catalog, "_catalogs", [{text: "Exclu: {fin}."}, *catalog._catalogs])
    headers = {"accept-language": "fr"}
    async with connect(application=OwnChat.as_asgi(), headers=headers) as french:
        await moderation.aban(None, french.welcome["user_id"], seconds=9999)
        told = await french.next("disconnect")
        code = (await french.closed()).code
        assert str(told["reason"]).startswith("You are banned until ")
        assert code == 4503


async def test_a_handshake_that_is_refused_first_is_not_examined_for_its_language(
    room: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of handshakes bounds all costs of a handshake."""
    examined: list[object] = []
    monkeypatch.setattr(
        language_module, "_header", lambda scope, name: examined.append(name) or "de"
    )
    async with testing.engine(HANDSHAKES_PER_SECOND=1, HANDSHAKES_BURST=1):
        first, second = (
            connect(application=OwnChat.as_asgi(), headers=GERMAN, client=["8.8.8.8", 1])
            for _ in range(2)
        )
        async with first as client:
            with pytest.raises(Disconnect) as refused:
                await second.__aenter__()
            found = refused.value
            assert (found.reason, found.code) == ("The connection sent too many commands.", 4029)
            assert examined == []
            await client.ask("nonsense")
            assert examined != []
