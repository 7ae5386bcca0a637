"""The load client, a process of its own: joins rooms, sends, counts and checks what arrives.

Prints one JSON object when it is done. It fails when anything is lost, doubled or reordered.
"""

import argparse
import asyncio
import json
import re
import sys
import time
from collections import deque
from itertools import count

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

MESSAGE = re.compile(rb'\{"type":"message","room":"([^"]+)","seq":(\d+)')
ACK = re.compile(rb'\{"type":"ack","room":"[^"]+","seq":(\d+),"id":\d+[^}]*"nonce":"(\d+)"')


class Receiver(WSListener):  # type: ignore[misc]
    """One socket: the last position of each of its rooms, and how much it has had."""

    def __init__(self) -> None:
        self.welcomed = asyncio.get_running_loop().create_future()
        self.joined = asyncio.get_running_loop().create_future()
        self.received = 0
        self.frames = 0
        self.last: dict[bytes, int] = {}
        self.faults = 0
        self.on_ack = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            return
        payload = frame.get_payload_as_bytes()
        self.frames += 1
        if payload.startswith(b'{"type":"welcome"'):
            self.welcomed.set_result(None)
        elif payload.startswith(b'{"type":"joined"') and not self.joined.done():
            if b'"through"' in payload:
                told = json.loads(payload.split(b"\n")[0])
                self.last[told["room"].encode()] = told["through"]
                self.joined.set_result(None)
        else:
            self._take(payload)

    def _take(self, payload: bytes) -> None:
        for room, seq in MESSAGE.findall(payload):
            number = int(seq)
            self.faults += number != self.last[room] + 1
            self.last[room] = number
            self.received += 1
        if self.on_ack is not None:
            for _, nonce in ACK.findall(payload):
                self.on_ack(int(nonce))

    def send(self, command: dict[str, object]) -> None:
        self.transport.send(WSMsgType.TEXT, json.dumps(command).encode())


async def open_socket(url: str, subprotocol: str, room: str) -> Receiver:
    headers = {"Sec-WebSocket-Protocol": subprotocol} if subprotocol else None
    _, receiver = await ws_connect(Receiver, url, extra_headers=headers, enable_auto_pong=True)
    await receiver.welcomed
    receiver.send({"type": "join", "room": room, "history": 0})
    await receiver.joined
    return receiver


class Sender:
    """Keeps so many messages outstanding on one socket, until told to stop."""

    numbers = count(1)

    def __init__(self, receiver: Receiver, room: str, size: int, outstanding: int) -> None:
        self.receiver = receiver
        self.room = room
        self.content = "x" * size
        self.outstanding = outstanding
        self.sent: dict[int, float] = {}
        self.latencies: list[float] = []
        self.acked = 0
        self.is_stopped = False
        receiver.on_ack = self._acked

    def start(self) -> None:
        for _ in range(self.outstanding):
            self._send()

    def _send(self) -> None:
        nonce = next(Sender.numbers)
        self.sent[nonce] = time.perf_counter()
        self.receiver.send(
            {"type": "message", "room": self.room, "content": self.content, "nonce": str(nonce)}
        )

    def _acked(self, nonce: int) -> None:
        self.latencies.append(time.perf_counter() - self.sent.pop(nonce))
        self.acked += 1
        if not self.is_stopped:
            self._send()


async def run(options: argparse.Namespace) -> dict[str, object]:
    rooms = [f"room-{n}" for n in range(options.rooms)] if options.rooms > 1 else ["general"]
    receivers: list[Receiver] = []
    queue = deque(range(options.members))

    async def open_some() -> None:
        while queue:
            number = queue.popleft()
            room = rooms[number % len(rooms)]
            receivers.append(await open_socket(options.url, options.subprotocol, room))

    await asyncio.gather(*(open_some() for _ in range(20)))
    senders = []
    for number in range(options.senders):
        room = rooms[number % len(rooms)]
        socket = await open_socket(options.url, options.subprotocol, room)
        senders.append(Sender(socket, room, options.size, options.outstanding))
        receivers.append(socket)
    for sender in senders:
        sender.start()
    await asyncio.sleep(options.warm_up)
    before, frames, acked = _total(receivers, senders)
    for sender in senders:
        sender.latencies.clear()
    began = time.perf_counter()
    print("measuring", flush=True)
    await asyncio.sleep(options.seconds)
    after, frames_after, acked_after = _total(receivers, senders)
    took = time.perf_counter() - began
    print("measured", flush=True)
    latencies = sorted(latency for sender in senders for latency in sender.latencies)
    for sender in senders:
        sender.is_stopped = True
    await _all_arrived(receivers, senders)
    return {
        "deliveries_per_second": (after - before) / took,
        "messages_per_second": (acked_after - acked) / took,
        "events_per_frame": (after - before) / max(1, frames_after - frames),
        "ack_p50_ms": _percentile(latencies, 0.5),
        "ack_p99_ms": _percentile(latencies, 0.99),
        "faults": sum(receiver.faults for receiver in receivers),
        "unequal": len({tuple(sorted(r.last.items())) for r in receivers}) - len(rooms),
    }


def _total(receivers: list[Receiver], senders: list[Sender]) -> tuple[int, int, int]:
    return (
        sum(receiver.received for receiver in receivers),
        sum(receiver.frames for receiver in receivers),
        sum(sender.acked for sender in senders),
    )


async def _all_arrived(receivers: list[Receiver], senders: list[Sender]) -> None:
    """Wait until every member has what every other member has."""
    deadline = time.perf_counter() + 20
    while time.perf_counter() < deadline:
        ends: dict[bytes, set[int]] = {}
        for receiver in receivers:
            for room, seq in receiver.last.items():
                ends.setdefault(room, set()).add(seq)
        if not any(sender.sent for sender in senders) and all(len(e) == 1 for e in ends.values()):
            return
        await asyncio.sleep(0.05)


def _percentile(values: list[float], share: float) -> float:
    return round(values[int(len(values) * share)] * 1000, 2) if values else 0.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--members", type=int, default=200)
    parser.add_argument("--rooms", type=int, default=1)
    parser.add_argument("--senders", type=int, default=1)
    parser.add_argument("--outstanding", type=int, default=64)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--subprotocol", default="")
    parser.add_argument("--warm-up", type=float, default=2)
    parser.add_argument("--seconds", type=float, default=5)
    result = asyncio.run(run(parser.parse_args()))
    print(json.dumps(result))
    sys.exit(bool(result["faults"] or result["unequal"]))


if __name__ == "__main__":
    main()
