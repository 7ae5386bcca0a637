"""Channels consumers: one connection's life, the commands of rooms, and of who runs them."""

from .base import Consumer
from .chat import ChatConsumer
from .rooms import RoomConsumer

__all__ = ["ChatConsumer", "Consumer", "RoomConsumer"]
