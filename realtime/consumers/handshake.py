"""The handshake: make a connection, sign its client in, and welcome it."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ..auth.address import address_of
from ..auth.guests import token_of
from ..auth.identify import identify, identify_token
from ..conf import config
from ..engine.connections.connection import Connection, ConnectionEvents
from ..engine.connections.intake import Intake
from ..engine.connections.ledger import Ledger
from ..engine.engine import Engine, shutdown
from ..engine.servers.transport import lacks_backpressure
from ..logs import get_logger
from ..store.accounts.addresses import network_of
from ..wire.codecs import Part
from ..wire.commands import Auth
from ..wire.errors import CloseCode, Disconnect
from ..wire.events import PROTOCOL, Welcome, timestamp
from .authentication import Login
from .first_message import FirstMessage
from .raw import Agreement

__all__ = ["connect", "identify_client", "sign_in_by_first_message", "welcome"]

logger = get_logger("realtime.consumer")


def connect(
    events: ConnectionEvents,
    engine: Engine,
    scope: dict[str, Any],
    send: Any,
    *,
    server: Any,
    intake: Intake,
    agreement: Agreement,
) -> Connection:
    """Make the connection for a handshake; `server` is the server's own `send`."""
    peer_address = address_of(scope)
    codec, subprotocol = agreement
    # A raw client cannot acknowledge what it reads.
    is_counted = codec.is_protocol and lacks_backpressure(scope, server)
    return Connection(
        engine.new_connection(),
        events,
        send,
        codec,
        intake=intake,
        server=server,
        ledger=Ledger(config().outbox_bytes) if is_counted else None,
        address=network_of(peer_address),
        peer_address=peer_address,
        task=asyncio.current_task(),
        scope=scope,
        subprotocol=subprotocol,
    )


async def identify_client(
    scope: dict[str, Any], connection: Connection, login: Login, engine: Engine
) -> Disconnect | None:
    """Sign a client in by its handshake; return a refusal, to be sent once the socket is open.

    A client that may authenticate by its first message has no identity after this. One that sends
    all its frames first may not: it would be too late for the identity that its page expects.
    """
    if engine.refuses_clients:
        return shutdown()
    try:
        login.arrive()
        if (found := await identify(scope, engine.db)) is not None:
            await login.sign_in(found)
        elif connection.one_way is not None:
            return Disconnect(CloseCode.UNAUTHENTICATED)
        else:
            login.slot.start_waiting()
    except Disconnect as why:
        return why
    except Exception:
        logger.exception("connection %s: authentication failed", connection.id)
        return Disconnect(CloseCode.INTERNAL, retry_after=1)
    return None


async def sign_in_by_first_message(
    message: FirstMessage, connection: Connection, login: Login, engine: Engine
) -> tuple[Auth, Iterator[Part]] | None:
    """Wait for a client to authenticate, and sign it in; None if it has gone instead."""
    try:
        first = await message.wait()
        if first is None:
            connection.lose()
        else:
            await login.sign_in(await identify_token(first[0].token or "", engine.db))
    finally:
        login.slot.stop_waiting()
    if engine.refuses_clients:
        raise shutdown()
    return first


def welcome(connection: Connection) -> Welcome:
    """Return the first frame for an authenticated client."""
    settings, identity = config(), connection.identity
    return Welcome(
        connection=connection.id,
        user_id=identity.user_id,
        username=identity.username,
        protocol=PROTOCOL,
        heartbeat=settings.heartbeat_seconds,
        limits={
            "frame_bytes": settings.frame_bytes,
            "content_characters": settings.content_characters,
            "rooms": settings.rooms_per_connection,
            "topics": settings.topics_per_connection,
        },
        server_time=timestamp(datetime.now(UTC)),
        guest_token=token_of(identity) if identity.is_guest else None,
    )
