"""The topics that are measured; everybody may subscribe."""

from datetime import timedelta

from realtime.topics import Event, Topic


class Said(Event):
    """A text of a publisher."""

    text: str


class FeedTopic(Topic):
    """A topic that keeps what is published."""

    path = "feed/<slug:feed>"
    events = [Said]
    keep = timedelta(days=1)
    feed: str

    def may_subscribe(self) -> bool:
        return True


class FlashTopic(Topic):
    """A topic that keeps nothing."""

    path = "flash/<slug:feed>"
    events = [Said]
    feed: str

    def may_subscribe(self) -> bool:
        return True


class ValueTopic(Topic):
    """A topic of values."""

    path = "value/<slug:feed>"
    events = [Said]
    keep = timedelta(days=1)
    feed: str

    def may_subscribe(self) -> bool:
        return True


class ChatMessage(Event):
    """A text of the chat of the tutorial."""

    message: str


class ChatTopic(Topic):
    """A room of the chat."""

    path = "chat/<slug:room_name>"
    events = [ChatMessage]
    room_name: str

    def may_subscribe(self) -> bool:
        return True


class KeptChatTopic(Topic):
    """A room of the chat that keeps what is said."""

    path = "kept/<slug:room_name>"
    events = [ChatMessage]
    keep = timedelta(days=1)
    room_name: str

    def may_subscribe(self) -> bool:
        return True
