"""A channel layer as unreliable as the specification allows: it loses messages silently."""

import logging
import random
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer

logger = logging.getLogger(__name__)


class LossyLayer(RedisPubSubChannelLayer):  # type: ignore[misc]
    """The pubsub layer, which drops one `group_send` in three."""

    def __init__(self, *args: Any, seed: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dice = random.Random(seed)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if self._dice.random() < 1 / 3:
            logger.warning("lost a message for %s", group)
            return
        await self._get_layer().group_send(group, message)
