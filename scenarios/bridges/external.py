"""A bridge that somebody else starts: the lab says what to configure, and begins when the bridge is seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from shakedown.scenarios.bridge_runner import BridgeRunner
from shakedown.scenarios.bridges.fields import Fields, Mqtt, OpcUa
from shakedown.scenarios.errors import HarnessFault, UsageError

POLL_S = 0.2


class ExternalBridge(BridgeRunner):
    """Waits for the first message of a bridge; it can be neither killed nor stopped from here.

    `start` raises UsageError when nothing was seen within `within_s`.
    """

    def __init__(
        self, fields: Fields, within_s: float, seen: Callable[[], bool], say: Callable[[str], None]
    ) -> None:
        self._fields, self._within_s, self._seen, self._say = fields, within_s, seen, say

    async def start(self) -> None:
        self._say(invitation(self._fields, self._within_s))
        try:
            async with asyncio.timeout(self._within_s):
                while not self._seen():  # noqa: ASYNC110 (no event: whatever arrives at the host counts)
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise UsageError(
                f"No bridge was seen within {self._within_s:g} s: nothing that it promises arrived at "
                f"{self._fields.mqtt.url}. Check the addresses, names and topics that were printed, or give it longer "
                "(ready.within_s in a bridge file of its own)."
            ) from None

    async def kill(self) -> None:
        raise HarnessFault("a bridge that the lab did not start cannot be killed")

    async def freeze(self) -> None:
        raise HarnessFault("a bridge that the lab did not start cannot be frozen")

    async def thaw(self) -> None:
        """Nothing: it was not frozen."""

    async def stop(self) -> None:
        """Nothing: it is not the lab's."""

    def is_running(self) -> bool:
        return True

    def ended_with(self) -> str | None:
        return None


def credentials(part: OpcUa | Mqtt) -> list[str]:
    """What to show there, and where it lies; no secret itself."""
    names = (
        "username",
        "password_file",
        "policy",
        "ca",
        "certificate",
        "key",
        "server_certificate",
        "revocation_list",
        "application_uri",
    )
    return [f"{name} {getattr(part, name)}" for name in names if getattr(part, name, "")]


def invitation(fields: Fields, within_s: float) -> str:
    """What somebody needs to configure a bridge by hand."""
    lines = [f"read    {server.endpoint}  (OPC UA, {server.name})" for server in fields.servers]
    lines += [f"write   {fields.mqtt.url}  (MQTT)"]
    for server in fields.servers:
        lines += [f"with    {text}  (OPC UA, {server.name})" for text in credentials(server)]
    lines += [f"with    {text}  (MQTT)" for text in credentials(fields.mqtt)]
    lines += [
        f"as      group {fields.group}, edge node {fields.edge}, primary host {fields.primary_host or 'none'}"
    ]
    lines += ["metrics (device, metric, node, type, unit):"]
    lines += [f"  {m.device}  {m.name}  {m.node}  {m.type}  {m.unit}" for m in fields.metrics]
    return "\n".join([*lines, f"waiting at most {within_s:g} s for its first message"])
