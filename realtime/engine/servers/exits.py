"""Keep code of a site from ending the server, or a connection without its cleanup.

`sys.exit()` in a task ends the event loop, and with it the server. Any exception that is no
`Exception` passes by the code that answers a failure.
"""

from asyncio import CancelledError
from collections.abc import Awaitable
from typing import TypeVar

__all__ = ["PASSING", "contained", "failure"]

T = TypeVar("T")
PASSING = (CancelledError, GeneratorExit, KeyboardInterrupt)
"""The end of a task, the end of a coroutine, and the wish of the operator: no code catches them."""


async def contained(work: Awaitable[T]) -> T:
    """Await code of the site; raise `RuntimeError` in place of an exception like `SystemExit`."""
    try:
        return await work
    except (Exception, *PASSING):
        raise
    except BaseException as error:
        raise failure(error) from error


def failure(error: BaseException) -> RuntimeError:
    """Return the failure that stands for an exception like `SystemExit`."""
    return RuntimeError(f"Code of the site has raised {error!r}, as sys.exit() does.")
