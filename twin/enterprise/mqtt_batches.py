"""What an MQTT client received since it was last asked, in one piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import aiomqtt


class Batches(asyncio.Queue[Any]):
    """A queue for `aiomqtt.Client(queue_type=...)` that gives away all it holds at once: see `batches`."""

    def _init(self, maxsize: int) -> None:
        self._queue: list[aiomqtt.Message] = []

    def _put(self, item: aiomqtt.Message) -> None:
        self._queue.append(item)

    def _get(self) -> list[aiomqtt.Message]:
        held, self._queue = self._queue, []
        return held


async def batches(client: aiomqtt.Client) -> AsyncIterator[list[aiomqtt.Message]]:
    """What came to a client made with `queue_type=Batches`, in order. Raises MqttError when it is disconnected.

    aiomqtt starts two tasks for each item of its queue: too much for thousands of small messages a second.
    """
    async for item in client.messages:
        yield cast("list[aiomqtt.Message]", item)
