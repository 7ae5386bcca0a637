"""Sockets: one connection's life, and the commands of rooms."""

from .base import Consumer
from .rooms import RoomConsumer

__all__ = ["Consumer", "RoomConsumer"]
