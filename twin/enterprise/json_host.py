"""The enterprise's end of a bridge that speaks plain JSON: it keeps what arrives in the rows of a primary host."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from shakedown.twin.enterprise.host import MESSAGE_BYTES_MAX, PrimaryHost
from shakedown.twin.enterprise.json_mapping import JsonReader
from shakedown.twin.enterprise.mqtt_batches import batches

OTHER_TOPICS_MAX = 100  # of topics that the mapping does not speak of, so many are named in the log


class JsonHost(PrimaryHost):
    """Subscribes to everything and appends what `reader` makes of it to `log` (host.jsonl) under the name `edge`.

    It has no session and drops no repeats: what arrives twice is in the log twice.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        reader: JsonReader,
        edge: str,
        **options: Any,
    ) -> None:
        """`options` are those of a primary host (host.py), without its name."""
        self._reader, self._name = reader, edge
        self._other: set[str] = set()
        super().__init__(address, port, host_id="json", **options)

    async def _session(self) -> None:
        async with self._connection(will=None) as client:
            self._client = client
            await client.subscribe("#", 1)
            self._event("connected", {})
            self.connected.set()
            async for messages in batches(client):
                for message in messages:
                    self._on_json(message.topic.value, bytes(message.payload))

    def _on_json(self, topic: str, payload: bytes) -> None:
        if not self._reader.is_mapped(topic):
            if topic not in self._other and len(self._other) < OTHER_TOPICS_MAX:
                self._other.add(topic)
                self._event("unmapped", {"topic": topic[:200]})
            return
        self.messages += 1
        try:
            if len(payload) > MESSAGE_BYTES_MAX:
                raise ValueError(f"{len(payload)} bytes, more than {MESSAGE_BYTES_MAX}")
            rows = self._reader.rows(topic, payload, time.time_ns())
        except (ValueError, OverflowError) as error:
            self.malformed += 1
            if self.malformed <= OTHER_TOPICS_MAX:
                self._event(
                    "malformed", {"edge": self._name, "topic": topic[:200], "because": str(error)[:200]}
                )
            return
        self._keep(self._edge(self._name), rows)

    @property
    def other_topics(self) -> list[str]:
        """Topics with messages that the mapping does not speak of, at most OTHER_TOPICS_MAX."""
        return sorted(self._other)

    def ask_rebirth(self, edge: str, because: str, *, at_once: bool = False) -> None:
        """Nothing: plain JSON has no births."""

    async def command(self, edge: str, device: str, metric: str, text: str) -> None:
        """Raises OSError: plain JSON has no commands."""
        await asyncio.sleep(0)
        raise OSError("a bridge that speaks plain JSON takes no commands")
