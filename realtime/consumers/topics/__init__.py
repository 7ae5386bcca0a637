"""The commands of clients on topics."""

from .subscribing import Subscribing

__all__ = ["Subscribing"]
