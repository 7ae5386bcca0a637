"""The table of error and close codes."""

import re
from pathlib import Path

import pytest

from realtime.wire.errors import (
    REASONS,
    CloseCode,
    CommandError,
    Disconnect,
    ErrorCode,
    ProtocolError,
)

ERROR_CODES = {
    "invalid_json": False,
    "invalid_message": False,
    "unknown_type": False,
    "too_large": False,
    "not_authenticated": False,
    "permission_denied": False,
    "unknown_room": False,
    "unknown_topic": False,
    "unknown_user": False,
    "unknown_message": False,
    "not_joined": False,
    "rate_limited": True,
    "limit_exceeded": False,
    "conflict": False,
    "unavailable": True,
    "invalid_signature": False,
    "signature_expired": False,
    "token_expired": True,
    "internal": False,
}
"""Every error code, and whether the same command may succeed later."""

CLOSE_CODES = {
    4001: True,
    4005: True,
    4008: True,
    4009: True,
    4011: True,
    4013: True,
    4014: True,
    4029: True,
    4500: False,
    4503: False,
    4511: False,
}
"""Every close code, and whether the client comes back."""


def test_the_error_codes_are_those_of_the_protocol() -> None:
    assert {str(code) for code in ErrorCode} == ERROR_CODES.keys()


@pytest.mark.parametrize(("code", "retryable"), ERROR_CODES.items())
def test_an_error_knows_whether_to_try_again(code: str, retryable: bool) -> None:
    assert CommandError(ErrorCode(code), "no").retryable is retryable


def test_the_close_codes_are_those_of_the_protocol() -> None:
    assert {int(code) for code in CloseCode} == CLOSE_CODES.keys()


@pytest.mark.parametrize(("code", "reconnect"), CLOSE_CODES.items())
def test_a_close_code_knows_whether_to_come_back(code: int, reconnect: bool) -> None:
    assert Disconnect(code).reconnect is reconnect
    assert Disconnect(code).reason == str(REASONS[CloseCode(code)]) != ""


@pytest.mark.parametrize("code", CloseCode)
def test_the_reason_of_a_code_is_translated_after_the_bus_as_well(code: CloseCode) -> None:
    """Between processes it is a string; a reason of somebody's own stays one."""
    assert Disconnect(code, Disconnect(code).reason).text is REASONS[code]
    assert Disconnect(code, "Out.").text == "Out."


class Failing:
    """A reason whose translation fails."""

    def __str__(self) -> str:
        raise RuntimeError("a translation")

    __eq__ = None  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("code", [4503, 4900])
def test_a_reason_is_not_evaluated_before_it_is_sent(code: int) -> None:
    reason = Failing()
    assert Disconnect(code, reason).text is reason


def test_the_sentence_of_an_error_can_be_replaced() -> None:
    error, end = CommandError(ErrorCode.INTERNAL, "a"), Disconnect(4400)
    error.message, end.reason = "b", "c"
    assert (error.message, error.text, end.reason, end.text) == ("b", "b", "c", "c")


@pytest.mark.parametrize(("code", "reconnect"), [(4400, True), (4499, True), (4900, False)])
def test_an_application_may_use_codes_of_its_own(code: int, reconnect: bool) -> None:
    end = Disconnect(code, "full moon")
    assert (end.code, end.reason, end.reconnect) == (code, "full moon", reconnect)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (CommandError(ErrorCode.NOT_JOINED, "Join first.", room="r"), "not_joined: Join first."),
        (Disconnect(CloseCode.SLOW), "4008: The connection reads too slowly."),
        (Disconnect(4400), "4400: "),
    ],
)
def test_an_error_tells_itself(error: ProtocolError, text: str) -> None:
    assert str(error) == text


PAGE = (Path(__file__).parent.parent.parent / "docs" / "protocol.md").read_text()


def test_the_document_names_every_error_code() -> None:
    [section] = re.findall(r"## Error codes\n(.+?)\n\n", PAGE, re.DOTALL)
    told = re.findall(r"`([a-z_]+)`", section)
    assert told == [code.value for code in ErrorCode]


def test_the_document_names_every_close_code() -> None:
    told = re.findall(r"^\| (4\d{3}) \|", PAGE, re.MULTILINE)
    assert told == [str(int(code)) for code in CloseCode]


@pytest.mark.parametrize("code", [None, "", 4400])
def test_an_error_needs_a_code(code: object) -> None:
    with pytest.raises(TypeError, match="the code of a CommandError is an ErrorCode or a text"):
        CommandError(code, "There are no seats left.")  # type: ignore[arg-type]
