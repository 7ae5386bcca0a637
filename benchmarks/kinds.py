"""What a publisher does with texts: each kind is made once, in the process that publishes."""

import os
from collections.abc import Callable
from itertools import count
from typing import Any

from asgiref.sync import async_to_sync

__all__ = ["KINDS", "SENT_ONCE", "Options", "Publish"]

Options = dict[str, Any]
Publish = Callable[[str, list[str]], object]
"""Publishes texts to a feed; what is sent once returns the last handover."""
SENT_ONCE = ("flash", "push")
AT_ONCE = 1000
STRIDE = 7919
"""A prime number, so that the keys are set in no order, and all of them in time."""


def nothing(options: Options) -> Publish:
    """Publish nothing: what the same transactions cost by themselves."""
    return lambda feed, texts: None


def topic(options: Options) -> Publish:
    """Store each event in the log of a topic."""
    from .site.topics import FeedTopic, Said

    def publish(feed: str, texts: list[str]) -> None:
        for text in texts:
            FeedTopic(feed=feed).publish(Said(text=text))

    return publish


def many(options: Options) -> Publish:
    """Store all events by one call."""
    from .site.topics import FeedTopic, Said

    return lambda feed, texts: FeedTopic(feed=feed).publish_many(Said(text=one) for one in texts)


def flash(options: Options) -> Publish:
    """Send events of a topic that keeps nothing."""
    from .site.topics import FlashTopic, Said

    return _each(lambda feed, text: FlashTopic(feed=feed).publish(Said(text=text)))


def push(options: Options) -> Publish:
    """Send signals to a room, whose row is known."""
    from realtime import push
    from realtime.models import Room

    rooms = {room.slug: room for room in Room.objects.all()}
    return _each(lambda room, text: push.room(rooms[room]).send({"text": text}))


def group(options: Options) -> Publish:
    """Send to a group of the channel layer, as the documentation of Channels says."""
    from channels.layers import get_channel_layer

    send = async_to_sync(get_channel_layer().group_send)
    return _each(lambda feed, text: send(f"chat_{feed}", {"type": "chat.message", "message": text}))


def socketio(options: Options) -> Publish:
    """Emit through the manager of python-socketio for external processes."""
    import socketio as package

    manager = package.RedisManager(os.environ["REDIS_URL"], write_only=True)
    return _each(lambda feed, text: manager.emit("message", text, room=feed))


def value(options: Options) -> Publish:
    """Set one of many values."""
    from .site.topics import Said, ValueTopic

    numbers = count()

    def publish(feed: str, texts: list[str]) -> None:
        for text in texts:
            key = f"key-{next(numbers) * STRIDE % options['keys']}"
            ValueTopic(feed=feed).set(key, Said(text=text))

    return publish


def seed(options: Options) -> Publish:
    """Set as many values as there are texts."""
    from .site.topics import Said, ValueTopic

    def publish(feed: str, texts: list[str]) -> None:
        for start in range(0, len(texts), AT_ONCE):
            some = enumerate(texts[start : start + AT_ONCE], start)
            ValueTopic(feed=feed).set_many(
                {f"key-{place}": Said(text=text) for place, text in some}
            )

    return publish


def topics(options: Options) -> Publish:
    """Publish each text to a topic of its own."""
    from django.db import transaction

    from .site.topics import FeedTopic, Said

    def publish(feed: str, texts: list[str]) -> None:
        for start in range(0, len(texts), AT_ONCE):
            with transaction.atomic():
                for place, text in enumerate(texts[start : start + AT_ONCE], start):
                    FeedTopic(feed=str(place)).publish(Said(text=text))

    return publish


def _each(publish_one: Callable[[str, str], object]) -> Publish:
    def publish(feed: str, texts: list[str]) -> object:
        last = None
        for text in texts:
            last = publish_one(feed, text)
        return last

    return publish


KINDS: dict[str, Callable[[Options], Publish]] = {
    "nothing": nothing,
    "topic": topic,
    "many": many,
    "flash": flash,
    "push": push,
    "value": value,
    "seed": seed,
    "topics": topics,
    "group": group,
    "socketio": socketio,
}
