"""The command line against a server that is written out: what it reads, shows and keeps."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from harness.waiting import eventually
from tests.client.scripted import SECONDS, Script, Socket, message


async def started(script: Script, *arguments: str | bytes, **more: str) -> Process:
    command = [sys.executable, "-m", "realtime.client", script.url, "--room", "general"]
    return await asyncio.create_subprocess_exec(
        *command, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=os.environ | more
    )


async def joined(script: Script) -> Socket:
    """Return the socket of a program that has joined the room."""
    socket = await script.welcomed()
    await socket.joined(await socket.expect("join"), 3)
    return socket


async def ended(program: Process) -> tuple[int | None, str, str]:
    """Return the exit status, what was printed, and the errors."""
    async with asyncio.timeout(SECONDS):
        out, errors = await program.communicate()
    return program.returncode, out.decode(), errors.decode()


async def test_follow_keeps_its_position_before_the_first_event(
    script: Script, tmp_path: Path
) -> None:
    """Else the next run would begin behind what comes between the two."""
    state = tmp_path / "state.json"
    program = await started(script, "--follow", "--state", str(state))
    await joined(script)
    await eventually(state.exists)
    program.send_signal(signal.SIGINT)
    assert await ended(program) == (130, "", "")
    assert json.loads(state.read_text()) == {"room general": {"seq": 3, "epoch": "e"}}


async def test_a_position_that_cannot_be_kept_is_a_wrong_argument(
    script: Script, tmp_path: Path
) -> None:
    program = await started(script, "--follow", "--state", str(tmp_path / "no" / "state.json"))
    await joined(script)
    status, _, errors = await ended(program)
    assert status == 2
    assert "state.json" in errors
    assert "Traceback" not in errors


async def test_bytes_that_are_no_text_do_not_stop_the_lines(script: Script) -> None:
    program = await started(script, "--send", "-")
    assert program.stdin is not None
    program.stdin.write(b"a\n\xff\nb\n")
    program.stdin.write_eof()
    socket = await joined(script)
    for seq, content in enumerate(("a", "\ufffd", "b"), 4):
        command = await socket.expect("message")
        assert command["content"] == content
        await socket.ack(command, seq)
    assert await ended(program) == (0, "", "")


async def test_an_argument_that_is_no_text_is_a_wrong_one(script: Script) -> None:
    status, _, errors = await ended(await started(script, "--send", b"\xff"))
    assert status == 2
    assert "Traceback" not in errors


async def test_a_chat_ends_without_a_traceback(script: Script) -> None:
    program = await started(script)
    await joined(script)
    assert program.stderr is not None
    await program.stderr.readline()
    program.send_signal(signal.SIGINT)
    assert await ended(program) == (130, "", "")


async def test_reasons_are_shown_without_control_characters(script: Script) -> None:
    """A moderator has written them."""
    program = await started(script)
    socket = await joined(script)
    removed = {"type": "removed", "room": "general", "code": "permission_denied"}
    await socket.send({**removed, "message": "Out \x1b[31m"})
    status, _, errors = await ended(program)
    assert status == 1
    assert "Out" in errors
    assert "\x1b" not in errors


@pytest.mark.parametrize("arguments", [[], ["--follow"]], ids=["chat", "follow"])
async def test_what_a_terminal_cannot_show_does_not_end_it(
    script: Script, arguments: list[str]
) -> None:
    program = await started(script, *arguments, PYTHONIOENCODING="latin-1")
    socket = await joined(script)
    await socket.send(message(4, content="5 \u20ac"))
    assert program.stdout is not None
    line = await asyncio.wait_for(program.stdout.readline(), SECONDS)
    assert "5 \u20ac".encode("utf-8" if arguments else "ascii", "backslashreplace") in line
    program.send_signal(signal.SIGINT)
    assert (await ended(program))[0] == 130
