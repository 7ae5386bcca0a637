"""Errors of the database that a handler may raise, and the code with which each is answered."""

import psycopg
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)

__all__ = ["FAILURES"]


def _of_standby() -> InternalError:
    error = InternalError("cannot execute INSERT in a read-only transaction")
    error.__cause__ = psycopg.errors.lookup("25006")()
    return error


FAILURES = [
    (OperationalError("server closed the connection"), "unavailable"),
    (InterfaceError("connection already closed"), "unavailable"),
    (_of_standby(), "unavailable"),
    (IntegrityError("duplicate key"), "internal"),
    (ProgrammingError("no such table"), "internal"),
    (DataError("out of range"), "internal"),
]
