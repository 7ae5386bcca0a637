"""A client for the terminal: chat, send, follow rooms and topics, call commands.

The exit status is 0 when done, 1 if the server refused, 2 for wrong arguments, and 3 if the server
was not reached in time.
"""

import argparse
import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ..wire.failures import RealtimeError
from .client import Client, StateChange
from .handle import Handle
from .terminal import bear_all_characters, keep, kept, print_error, print_json, print_line

DONE, REFUSED, USAGE, AWAY = 0, 1, 2, 3
TOKEN = "REALTIME_TOKEN"  # noqa: S105
LINES = 100
"""The most lines of stdin that wait until they are sent."""
EXAMPLES = f"""\
examples:
  python -m realtime.client wss://example.com/ws/ --room general
  echo deployed | python -m realtime.client wss://example.com/ws/ --room ops --send -
  python -m realtime.client wss://example.com/ws/ --topic order/7 --follow --state order-7.json
  python -m realtime.client wss://example.com/ws/ --topic order/7 --call cancel '{{"by": 7}}'

The token comes from --token-file or the variable {TOKEN}, never from an argument: other users of
the machine can read those.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    bear_all_characters()
    try:
        call = _call(options)
        client = Client(
            options.url,
            token=_token(options),
            name=options.name,
            timeout=options.timeout,
            positions=kept(options.state),
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    try:
        asyncio.run(_run(client, options, call))
    except RealtimeError as error:
        print_error(str(error))
        return AWAY if error.code in ("timeout", "offline") else REFUSED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone
    except OSError as error:
        parser.error(str(error))  # such as a directory that is not there
    except KeyboardInterrupt:
        return 130
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m realtime.client",
        description=(__doc__ or "").partition("\n")[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("url", help="the address of the socket, such as wss://example.com/ws/")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--room", metavar="SLUG", help="the room to join")
    where.add_argument("--topic", metavar="NAME", help="the topic to subscribe to")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--send", metavar="TEXT", help="send a message; - sends each line of stdin")
    what.add_argument("--follow", action="store_true", help="print events as lines of JSON")
    what.add_argument(
        "--call", nargs=2, metavar=("NAME", "JSON"), help="execute a command of the topic"
    )
    add("--history", type=int, default=None, metavar="N", help="begin with the newest N (0 to 100)")
    add("--state", type=Path, metavar="FILE", help="keep the position here, and go on from it")
    add("--name", help="the name of a guest")
    add("--token-file", type=Path, metavar="FILE", help="the file that holds the token")
    add("--timeout", type=float, default=30.0, metavar="S", help="seconds to reach the server")
    return parser


def _token(options: argparse.Namespace) -> str | None:
    if options.token_file is not None:
        return str(options.token_file.read_text()).strip()
    return os.environ.get(TOKEN)


def _call(options: argparse.Namespace) -> tuple[str, dict[str, Any]] | None:
    """Return the command to call; raise `ValueError` for arguments that do not fit."""
    for text in (options.room, options.topic, options.send, options.name):
        (text or "").encode()  # an argument may hold bytes that are no text
    if options.send is not None and options.room is None:
        raise ValueError("--send needs --room: topics have commands (--call)")
    if options.call is None:
        return None
    if options.topic is None:
        raise ValueError("--call needs --topic")
    name, text = options.call
    try:
        return name, msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ValueError(f"the data of --call must be a JSON object: {error}") from error


async def _run(
    client: Client, options: argparse.Namespace, call: tuple[str, dict[str, Any]] | None
) -> None:
    async with client:
        if call is not None:
            print_json(await client.topic(options.topic).call(*call, timeout=options.timeout))
        elif options.send is not None:
            await _send(client, options)
        elif options.follow or options.topic is not None:
            await _follow(client, options)
        else:
            await _chat(client, options)


async def _send(client: Client, options: argparse.Namespace) -> None:
    room = await client.room(options.room).join()
    if options.send != "-":
        await room.send(options.send)
        return
    async for line in _lines():
        if line.strip():
            await room.send(line)


async def _follow(client: Client, options: argparse.Namespace) -> None:
    handle = await _entered(client, options, history=0)
    stream = aiter(handle)
    if options.state is not None:
        keep(options.state, client.positions)  # there may be no event before the program ends
    async for event in stream:
        print_json(event)
        if options.state is not None:
            stream.mark_handled()
            keep(options.state, client.positions)


async def _chat(client: Client, options: argparse.Namespace) -> None:
    """Print the room until the end of stdin, and send its lines."""
    tasks = [asyncio.create_task(_tell_states(client))]
    try:
        room = await _entered(client, options, history=20)
        print_error(f"You are {client.username} in {options.room}. Ctrl-D ends.")
        talking = {
            asyncio.create_task(_print(room)),
            asyncio.create_task(_send_lines(client, options)),
        }
        tasks += talking
        done, _ = await asyncio.wait(talking, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _entered(client: Client, options: argparse.Namespace, *, history: int) -> Handle[Any]:
    newest = history if options.history is None else options.history
    if options.room is not None:
        return await client.room(options.room).join(history=newest)
    return await client.topic(options.topic).subscribe(history=newest)


async def _print(handle: Handle[Any]) -> None:
    async for event in handle:
        print_line(event)


async def _send_lines(client: Client, options: argparse.Namespace) -> None:
    room = client.room(options.room)
    async for line in _lines():
        if not line.strip():
            continue
        try:
            await room.send(line)
        except RealtimeError as error:
            if not room.is_wanted:
                raise
            print_error(f"Not sent: {error.message}")


async def _tell_states(client: Client) -> None:
    async for change in client.events(StateChange):
        if change.retry_in is not None:
            print_error(f"No connection; the next attempt is in {change.retry_in:.0f} s.")


async def _lines() -> AsyncIterator[str]:
    """Yield the lines of stdin, read in a daemon: nothing else can end a read of a terminal."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    free = threading.Semaphore(LINES)

    def read() -> None:
        with suppress(OSError):  # such as a terminal that is closed
            for line in sys.stdin:
                free.acquire()
                loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\r\n"))
        loop.call_soon_threadsafe(lines.put_nowait, None)

    def read_until_the_end() -> None:
        with suppress(RuntimeError):  # the loop is closed
            read()

    threading.Thread(target=read_until_the_end, daemon=True).start()
    while (line := await lines.get()) is not None:
        free.release()
        yield line


if __name__ == "__main__":
    sys.exit(main())
