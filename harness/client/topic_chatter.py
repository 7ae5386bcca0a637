"""A `Chatter` in topics instead of rooms: the same promises, in other commands and events."""

from typing import Any

from harness.client.chatter import Chatter
from harness.client.encoding import Object

__all__ = ["TOPIC", "NoteChatter", "TopicChatter", "nonce_of"]

TOPIC = "speech/"
"""The topic of a room (`harness/topics.py`) is this and its slug."""


def nonce_of(entry: Object) -> str:
    """Return the nonce of the client that published an entry; it is followed by the sender."""
    return str(entry.get("id", "")).rpartition(" ")[0]


class TopicChatter(Chatter):
    """Speaks by a command of the topic, and takes each event for a message.

    The result of the command says that the event is published, and the event itself says where:
    only with both a message is acknowledged.
    """

    command = "say"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._places: dict[str, tuple[int, Any]] = {}
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
                data = self._data(fields.pop("nonce"), fields.pop("content"))
                return "call", {**fields, "name": self.command, "data": data}
        return kind, fields

    def _data(self, nonce: str, content: str) -> Object:
        return {"nonce": nonce, "content": content}

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
                seq, key = self._places.get(item["ref"], (None, None))
                item |= {"type": "ack", "nonce": item["ref"], "seq": seq, "id": key}
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
        nonce, place = self._nonce(entry), self._place(entry)
        seq, key = self._places[nonce] = entry["seq"], place
        if nonce in self.acks:
            self.acks[nonce].update(seq=seq, id=key)
        return {"id": key, "seq": seq, "nonce": nonce, **_said(entry)}

    def _nonce(self, entry: Object) -> str:
        return nonce_of(entry)

    def _place(self, entry: Object) -> Any:
        """Return what is the id of a message in a room."""
        return entry["seq"]


class NoteChatter(TopicChatter):
    """Sets values instead of publishing events, so that they can be changed later."""

    command = "note"

    def _data(self, nonce: str, content: str) -> Object:
        return {"key": nonce, "content": content}

    def _nonce(self, entry: Object) -> str:
        return str(entry["key"])

    def _place(self, entry: Object) -> Any:
        return entry["key"]


def _said(entry: Object) -> Object:
    if entry.get("deleted"):
        return {"deleted": True}
    data = entry["data"]
    return {"content": data["content"], "user_id": data["sender"], "created_at": entry["at"]}
