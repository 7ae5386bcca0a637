"""The consumer of the example: a batch handler of raw frames."""

from typing import Any

from realtime.consumers import Consumer, Cost, frames

__all__ = ["Upper"]


class Upper(Consumer):
    """Answers each batch of texts by one frame with these texts in capitals."""

    @frames(batch=50, within=0.1, cost=Cost("command", 0.1))
    async def on_text(self, texts: list[str]) -> dict[str, Any]:
        """Return the texts of a batch in capitals, in their order."""
        return {"texts": [text.upper() for text in texts]}
