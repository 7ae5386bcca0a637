"""Realtime for Django: rooms, chat history, presence and admin over Channels."""

__all__ = ["__version__"]

__version__ = "0.1.0"
