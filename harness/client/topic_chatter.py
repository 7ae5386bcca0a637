"""A `Chatter` in topics instead of rooms: the same promises, in other commands and events."""

from typing import Any

from harness.client.chatter import Chatter
from harness.client.encoding import Object

__all__ = ["TOPIC", "TopicChatter"]

TOPIC = "speech/"
"""The topic of a room (`harness/topics.py`) is this and its slug."""


class TopicChatter(Chatter):
    """Speaks by a command of the topic, and takes each event for a message.

    The result of the command says that the event is published, and the event itself says where:
    only with both a message is acknowledged.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._places: dict[str, int] = {}
        self._pages: dict[str, list[Object]] = {}

    async def say(self, room: str, content: str) -> Object:
        """Publish an event, and wait until it comes back; return its `ack`."""
        ack = await super().say(room, content)
        await self.until(lambda: ack["seq"] is not None, 60)
        return ack

    # What is sent.

    def _written(self, kind: str, fields: Object) -> tuple[str, Object]:
        fields = {name: value for name, value in fields.items() if name != "room"} | {
            "topic": TOPIC + fields["room"]
        }
        match kind:
            case "join":
                return "subscribe", {"since": {"seq": 0, "epoch": ""}} | fields
            case "message":
                data = {name: fields.pop(name) for name in ("content", "nonce")}
                return "call", {**fields, "name": "say", "data": data}
        return kind, fields

    # What comes.

    async def _take(self, item: Object) -> None:
        topic = item.get("topic", "")
        if not topic.startswith(TOPIC):
            await super()._take(item)
            return
        item = {**item, "room": topic.removeprefix(TOPIC)}
        match item["type"]:
            case "subscribed":
                await self._take_page(item)
                return
            case "event":
                known = self.known[item["room"]]
                known.epoch = item.get("epoch") or known.epoch
                item |= self._message(item) | {"type": "message"}
            case "history":
                item["messages"] = [self._message(entry) for entry in item["entries"]]
            case "result":
                place = self._places.get(item["ref"])
                item |= {"type": "ack", "nonce": item["ref"], "seq": place, "id": place}
        await super()._take(item)

    async def _take_page(self, page: Object) -> None:
        room, ref = page["room"], page["ref"]
        found = self._pages.pop(room, [])
        found += [self._message(entry) for entry in page["entries"]]
        kind, fields = self._open[ref]
        if page["has_more"]:
            self._pages[room] = found
            since = {"seq": page["through"], "epoch": page["epoch"]}
            since |= {"until": page["until"]} if "until" in page else {}
            self._open[ref] = kind, fields | {"since": since}
            await self._transmit(ref)
            return
        is_all = page["recovered"] or len(found) < fields.get("history", 0)
        is_part = page["through"] > 0 and not is_all
        await super()._take({**page, "type": "joined", "messages": found, "has_more": is_part})

    def _message(self, entry: Object) -> Object:
        seq, nonce = entry["seq"], entry.get("id", "")
        self._places[nonce] = seq
        if nonce in self.acks:
            self.acks[nonce].update(seq=seq, id=seq)
        data = entry["data"]
        said = {"content": data["content"], "user_id": data["sender"], "created_at": entry["at"]}
        return {"id": seq, "seq": seq, "nonce": nonce, **said}
