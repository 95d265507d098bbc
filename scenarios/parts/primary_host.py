"""The primary host: SCADA, MES or historian of the enterprise, whose log says what really arrived."""

from __future__ import annotations

from typing import Any

import aiomqtt

from shakedown.scenarios.bridges.fields import metrics_of
from shakedown.scenarios.parts.broker import BrokerPart
from shakedown.scenarios.parts.part import ANSWER_S, Ground, TaskPart
from shakedown.scenarios.parts.plan import Plan
from shakedown.twin.enterprise.host import Display, PrimaryHost
from shakedown.twin.enterprise.json_host import JsonHost
from shakedown.twin.enterprise.json_mapping import JsonReader, KnownMetric


class PrimaryHostPart(TaskPart):
    """A Sparkplug primary host; after a crash a new machine goes on with the same log."""

    kind = "primary_host"
    what = "the Sparkplug primary host; its machine dies without a word, and a new one goes on with its log"
    affects = "host"

    def __init__(self, plan: Plan, ground: Ground) -> None:
        super().__init__(plan, ground)
        self.displays: list[Display] = []  # whichever machine it is just now
        self._scada: PrimaryHost | None = None

    async def start(self) -> None:
        is_first = self._scada is None
        await self._end()  # the log of the machine that died is closed before a new one goes on with it
        self._scada = self._make(*await self.dial(self.ground.find(BrokerPart, self.line)))
        await super().start()
        if is_first:  # later it is for the host to find a broker, which may be down just then
            await self.ready("the primary host's connection to the broker", self._scada.connected)

    def _make(self, address: str, port: int) -> PrimaryHost:
        site, log, mapping = self.setup.site, self.folder / "host.jsonl", self.ground.json
        target = next(iter(site.north.values()))
        own = self.own
        common: dict[str, Any] = {
            "keep_alive_s": round(target.host_keep_alive_s), "log": log, "displays": self.displays,
            "tls": own.tls() if own else None, "user": own.user if own else None,
        }  # fmt: skip
        if mapping is None:
            return PrimaryHost(address, port, host_id=target.primary_host, **common)
        reader = JsonReader(
            mapping, [KnownMetric(m.device, m.name, m.node, m.type) for m in metrics_of(site)]
        )
        edge = f"{site.group_id}/{site.line}"
        return JsonHost(address, port, reader=reader, edge=edge, **common)

    async def run(self) -> None:
        assert self._scada is not None
        await self._scada.run()

    async def crash(self) -> None:
        self.host.unplug()  # before the log is cut: what is under way now is not heard any more
        assert self._scada is not None
        self._scada.cut()
        await super().crash()

    async def close(self) -> None:
        await super().close()
        self.share("host.jsonl")

    async def answers(self, within_s: float = ANSWER_S) -> bool:
        """Whether the broker answers on its connection."""
        return self.is_running() and await self.ask(self._round_trip(), self.plan.host, within_s)

    async def _round_trip(self) -> bool:
        assert self._scada is not None
        try:
            return await self._scada.reaches_broker()
        except aiomqtt.MqttError:
            return False

    async def command(self, edge: str, device: str, metric: str, text: str) -> None:
        """Have it write to a metric of a device. Raises OSError when it cannot."""
        assert self._scada is not None
        await self._scada.command(edge, device, metric, text)

    async def say_of(self, host_id: str, *, online: bool | None) -> bool:
        """Leave a STATE of another host with the broker, None: take it away. Whether the broker has acknowledged it."""
        assert self._scada is not None
        return await self._scada.say_of(host_id, online=online)

    def ask_rebirth(self, edge: str) -> None:
        """Have it ask the edge node `group/node` for a rebirth."""
        assert self._scada is not None
        self._scada.ask_rebirth(edge, "the drill says so", at_once=True)

    @property
    def rebirths_asked(self) -> int:
        """Rebirth requests that this machine has sent."""
        return self._scada.rebirths_asked if self._scada is not None else 0

    @property
    def messages(self) -> int:
        """Messages of edge nodes that this machine has received."""
        return self._scada.messages if self._scada is not None else 0

    @property
    def other_topics(self) -> list[str]:
        """Topics with messages that a bridge with plain JSON does not declare."""
        return self._scada.other_topics if isinstance(self._scada, JsonHost) else []

    @property
    def samples(self) -> int:
        """Samples that it holds."""
        return self._scada.samples if self._scada is not None else 0
