"""The consumer of the example: raw frames, without protocol v1."""

from realtime.consumers import Consumer

__all__ = ["Echo"]


class Echo(Consumer):
    """Sends text and bytes back."""

    async def on_text(self, text: str) -> str:
        """Return the text."""
        return text

    async def on_bytes(self, data: bytes) -> bytes:
        """Return the bytes."""
        return data
