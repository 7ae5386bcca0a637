"""Postpone a write of an open transaction until somebody could see that it is missing.

That is before the next statement of the connection, and before its commit. Django has hooks that
run after a commit, and none before it. So the method `commit` of this one connection is replaced
until the write.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar
from weakref import proxy

from django.db import Error, transaction

from .transactions import will_run

__all__ = ["Postponed", "can_postpone"]

T = TypeVar("T")
IN_TRANSACTION = 2
"""The transaction status of a connection whose transaction has not failed."""


def can_postpone(connection: Any) -> bool:
    """Return whether a write of the open transaction may wait; otherwise write it at once.

    In a transaction that has failed, writing raises an exception. That of a test case is never
    committed, but the hooks of its commit may run.
    """
    return (
        connection.vendor == "postgresql"
        and connection.in_atomic_block
        and not connection.needs_rollback
        and "commit" not in vars(connection)
        and connection.connection is not None
        and connection.connection.info.transaction_status == IN_TRANSACTION
        and not any(block._from_testcase for block in connection.atomic_blocks)
    )


class Postponed(Generic[T]):
    """Items that one statement writes into the transaction that is open now.

    `hook` was registered by `on_commit` in this transaction, and in no other one. Django forgets it
    after a rollback, and so the items are dropped.
    """

    def __init__(
        self, connection: Any, write: Callable[[list[T]], None], hook: Callable[[], object]
    ) -> None:
        self.items: list[T] = []
        self.is_over = False
        self._connection = proxy(connection)  # which holds this object, and ends with its thread
        self._write = write
        self._hook = hook
        # The first of them is called first, and each other one removes the last.
        connection.execute_wrappers.insert(0, self._before_statement)
        vars(connection)["commit"] = self._before_commit

    def execute(self) -> None:
        """Write the items now, unless their transaction was rolled back.

        If that fails, the transaction cannot be committed, even if the site catches the error: it
        comes from another statement than the one that has published.
        """
        self._end()
        if will_run(self._connection, self._hook):
            with transaction.mark_for_rollback_on_error(using=self._connection.alias):
                self._write(self.items)

    def _before_statement(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        # All items came after the savepoint, which is a statement too. The transaction may have
        # failed, so that nothing can be written.
        if self._connection.needs_rollback:
            pass  # Django refuses the statement; the site may go on without a rollback
        elif isinstance(sql, str) and sql.lstrip().upper().startswith("ROLLBACK TO"):
            self._end()
        else:
            self.execute()
        return execute(sql, params, many, context)

    def _before_commit(self) -> None:
        try:
            if not self.is_over:
                self.execute()
        except BaseException:
            # Django does so for errors of the database only.
            with suppress(Error):
                self._connection.rollback()
            raise
        # Not `connection.commit`: the site may have replaced it meanwhile, to call this method.
        backend: Any = self._connection.__class__
        backend.commit(self._connection)

    def _end(self) -> None:
        self.is_over = True
        if self._before_statement in self._connection.execute_wrappers:
            self._connection.execute_wrappers.remove(self._before_statement)
        if vars(self._connection).get("commit") == self._before_commit:
            del vars(self._connection)["commit"]
