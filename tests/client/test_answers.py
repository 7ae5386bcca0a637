"""Answers of the client to questions of a scripted server."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from harness.waiting import eventually
from realtime.client import Client, RealtimeError
from tests.client.scripted import Script, Socket
from tests.client.talking import lost, opened, returned

REF = "0" * 32


class Confirm(msgspec.Struct):
    text: str


class Confirmed(msgspec.Struct):
    is_sure: bool


Opened = tuple[Client, Socket]


@pytest.fixture
async def pair(script: Script) -> AsyncIterator[Opened]:
    client, socket = await opened(script)
    yield client, socket
    await client.close()


async def ask(socket: Socket, ref: str = REF, **more: Any) -> None:
    fields = {"name": "confirm", "data": {"text": "Sure?"}, "timeout": 20}
    await socket.send({"type": "ask", "ref": ref, **fields, **more})


async def answered(socket: Socket, **more: Any) -> dict[str, Any]:
    await ask(socket, **more)
    return await socket.expect("answer")


class Hanging:
    """A handler that never answers."""

    def __init__(self) -> None:
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()

    async def answer(self, question: Confirm) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


def plainly(question: Confirm) -> Confirmed:
    return Confirmed(question.text == "Sure?")


async def in_the_loop(question: Confirm) -> dict[str, Any]:
    return {"is_sure": question.text == "Sure?"}


@pytest.mark.parametrize("handler", [plainly, in_the_loop])
async def test_a_handler_answers(pair: Opened, handler: Callable[[Any], Any]) -> None:
    client, socket = pair
    client.answer(Confirm, handler)
    assert await answered(socket) == {"type": "answer", "ref": REF, "data": {"is_sure": True}}


async def test_a_handler_of_a_name_gets_a_dictionary(pair: Opened) -> None:
    client, socket = pair
    client.answer("confirm", lambda question: question)
    assert (await answered(socket))["data"] == {"text": "Sure?"}


async def test_a_handler_may_return_nothing(pair: Opened) -> None:
    client, socket = pair
    client.answer(Confirm, lambda question: None)
    assert (await answered(socket))["data"] == {}


async def test_a_removed_handler_answers_no_more(pair: Opened) -> None:
    client, socket = pair
    stop = client.answer(Confirm, plainly)
    stop()
    stop()
    assert (await answered(socket))["code"] == "no_handler"


async def test_a_later_handler_is_not_removed_with_an_earlier_one(pair: Opened) -> None:
    client, socket = pair
    stop = client.answer(Confirm, lambda question: None)
    client.answer(Confirm, plainly)
    stop()
    assert (await answered(socket))["data"] == {"is_sure": True}


async def test_a_question_of_another_shape_is_refused(pair: Opened) -> None:
    client, socket = pair
    client.answer(Confirm, plainly)
    answer = await answered(socket, data={})
    assert answer["code"] == "invalid_message"
    assert "text" in answer["message"]


async def test_a_handler_may_refuse(pair: Opened) -> None:
    client, socket = pair

    def busy(question: Confirm) -> None:
        raise RealtimeError("busy" * 20, "Later." * 100)

    client.answer(Confirm, busy)
    answer = await answered(socket)
    assert answer["code"] == "busy" * 16
    assert answer["message"] == ("Later." * 100)[:500]


@pytest.mark.parametrize("found", [[1], 7, "yes", object()], ids=["list", "int", "text", "object"])
async def test_what_is_no_answer_is_a_fault_of_the_handler(
    pair: Opened, caplog: pytest.LogCaptureFixture, found: Any
) -> None:
    client, socket = pair
    client.answer(Confirm, lambda question: found)
    with caplog.at_level(logging.ERROR):
        answer = await answered(socket)
    assert answer["code"] == "internal"
    assert "confirm" in caplog.text


async def test_a_handler_that_fails_is_logged(
    pair: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    client, socket = pair

    async def fails(question: Confirm) -> None:
        raise ZeroDivisionError

    client.answer(Confirm, fails)
    with caplog.at_level(logging.ERROR):
        assert (await answered(socket))["code"] == "internal"
    assert "ZeroDivisionError" in caplog.text


async def test_after_its_time_a_question_is_not_answered(pair: Opened) -> None:
    client, socket = pair
    hanging = Hanging()
    client.answer(Confirm, hanging.answer)
    await ask(socket, timeout=0.01)
    await hanging.cancelled.wait()
    client.answer(Confirm, plainly)
    assert (await answered(socket, ref="1"))["ref"] == "1"
    assert socket.types() == ["answer"]


async def test_a_timeout_of_the_handler_itself_is_a_failure(
    pair: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    client, socket = pair

    async def slow(question: Confirm) -> None:
        raise TimeoutError

    client.answer(Confirm, slow)
    with caplog.at_level(logging.ERROR):
        assert (await answered(socket))["code"] == "internal"


async def test_a_lost_line_ends_a_question(script: Script, pair: Opened) -> None:
    client, socket = pair
    hanging = Hanging()
    client.answer(Confirm, hanging.answer)
    await ask(socket)
    await hanging.begun.wait()
    later = await returned(client, script, socket)
    await hanging.cancelled.wait()
    client.answer(Confirm, plainly)
    assert (await answered(later, ref="1"))["ref"] == "1"
    assert later.types() == ["answer"]


async def test_the_same_question_is_worked_on_once(pair: Opened) -> None:
    client, socket = pair
    calls: list[Any] = []
    go_on = asyncio.Event()

    async def counted(question: Confirm) -> None:
        calls.append(question)
        await go_on.wait()

    client.answer(Confirm, counted)
    await ask(socket)
    await ask(socket)
    await ask(socket, ref="1")
    await eventually(lambda: len(calls) == 2)
    go_on.set()
    assert {(await socket.expect("answer"))["ref"] for _ in range(2)} == {REF, "1"}
    assert len(calls) == 2


@pytest.mark.parametrize("code", ["too_large", "invalid_message"])
async def test_an_answer_that_the_server_refuses_becomes_its_code(pair: Opened, code: str) -> None:
    client, socket = pair
    client.answer(Confirm, plainly)
    first = await answered(socket)
    await socket.error(first, code)
    assert await socket.expect("answer") == {
        "type": "answer",
        "ref": REF,
        "code": code,
        "message": "No.",
    }


async def test_an_answer_that_comes_late_is_not_repeated(pair: Opened) -> None:
    client, socket = pair
    client.answer(Confirm, plainly)
    await socket.error(await answered(socket), "conflict")
    assert (await answered(socket, ref="1"))["ref"] == "1"


async def test_an_answer_larger_than_a_frame_becomes_a_code(script: Script) -> None:
    client, socket = await opened(script, limits={"frame_bytes": 200})
    client.answer(Confirm, lambda question: {"text": "x" * 300})
    assert (await answered(socket))["code"] == "too_large"
    await client.close()


async def test_questions_end_with_the_client(pair: Opened) -> None:
    client, socket = pair
    hanging = Hanging()
    client.answer(Confirm, hanging.answer)
    await ask(socket)
    await hanging.begun.wait()
    await client.close()
    await hanging.cancelled.wait()
    assert socket.types() == []
    await lost(client, socket)
