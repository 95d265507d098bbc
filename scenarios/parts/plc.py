"""A PLC: the OPC UA server that shows a line, or a part of it, to the world."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from asyncua import Client, ua

from shakedown.scenarios.parts.part import ANSWER_S, Ground, Part
from shakedown.scenarios.parts.plan import Plan
from shakedown.twin.ledger import Change
from shakedown.twin.line.signals import signals_of
from shakedown.twin.servers.limits import OpcUaCounters
from shakedown.twin.servers.opcua import OpcUaServer


class Plc(Part):
    """The OPC UA server that shows a line, or a part of it, to the world."""

    kind = "plc"
    what = "the OPC UA server of a line; what it held (tags, history) it has again after a crash"
    affects = "plc"

    def __init__(self, plan: Plan, ground: Ground) -> None:
        super().__init__(plan, ground)
        signals = signals_of(self.setup.plant)
        souths = {name for name, south in self.setup.site.south.items() if south.endpoint_host == plan.host}
        read: dict[str, set[str]] = defaultdict(set)
        for assets in self.setup.site.cells.values():
            for metric in (metric for asset in assets.values() for metric in asset.metrics.values()):
                read[metric.node].add(metric.south)
        first = {next(iter(self.setup.site.south))}  # shows what nobody reads, too
        self._shown = [i for i, signal in enumerate(signals) if (read.get(signal.node_id) or first) & souths]
        self._signals = tuple(signals[i] for i in self._shown)
        self._places = (
            None if len(self._shown) == len(signals) else {signal: i for i, signal in enumerate(self._shown)}
        )
        self.server: OpcUaServer | None = None

    async def start(self) -> None:
        if self.server is None:
            self.server = OpcUaServer(*await self.bind(), self._signals, endpoint_name=self.setup.plant.plant)
        await self.here(self.server.start())

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.stop()

    async def crash(self) -> None:
        assert self.server is not None
        await self.server.crash()

    async def answers(self, within_s: float = ANSWER_S) -> bool:
        """Whether a client can connect and read its state."""
        return await self.ask(self._read(within_s), self.asker, within_s)

    async def _read(self, within_s: float) -> bool:
        address, port = await self.ground.network.route(self.asker, self.plan.host, self.plan.port)
        client = Client(f"opc.tcp://{address}:{port}/", timeout=within_s)
        try:
            async with client:
                node = client.get_node(ua.ObjectIds.Server_ServerStatus_State)
                return bool(await node.read_value() == ua.ServerState.Running)
        except (TimeoutError, ua.UaError, ConnectionError) as error:
            raise OSError(str(error)) from error

    async def publish(self, source_ts_ns: int, changes: Sequence[Change]) -> None:
        """Take over a scan of the line; also while it is down, for its tags and history outlive the server."""
        assert self.server is not None
        places = self._places
        if places is not None:
            changes = [(places[i], value, status) for i, value, status in changes if i in places]
        await self.server.publish(source_ts_ns, changes)

    @property
    def counters(self) -> OpcUaCounters:
        """What became of every value, over all starts."""
        assert self.server is not None
        return self.server.counters
