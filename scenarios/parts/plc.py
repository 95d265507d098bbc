"""A PLC: the OPC UA server that shows a line, or a part of it, to the world."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from asyncua import Client, ua

from shakedown.bridge.south.config import SecurityConfig
from shakedown.bridge.south.security import secure
from shakedown.scenarios.parts.part import ANSWER_S, Ground, Part
from shakedown.scenarios.parts.plan import Plan
from shakedown.scenarios.security import PROBE
from shakedown.twin.ledger import Change
from shakedown.twin.line.signals import signals_of
from shakedown.twin.servers.limits import OpcUaCounters
from shakedown.twin.servers.opcua import OpcUaSecurity, OpcUaServer


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
            name = self.setup.plant.plant
            self.server = OpcUaServer(
                *await self.bind(), self._signals, endpoint_name=name, security=self._security(name)
            )
        await self.here(self.server.start())

    def _security(self, endpoint_name: str) -> OpcUaSecurity | None:
        """Who is trusted, and by which password, if the run is secure: who dials it, and who asks whether it serves."""
        security = self.ground.security
        if security is None:
            return None
        pair = security.server(self.plan.host, self.names, application_uri=f"urn:shakedown:{endpoint_name}")
        dialling = [part.name for part in self.ground.parts.values() if self.name in part.plan.dials]
        clients = [security.client(name) for name in (*dialling, PROBE)]
        return OpcUaSecurity(
            pair.certificate.read_bytes(),
            pair.key.read_bytes(),
            trusted=tuple(client.certificate.read_bytes() for client in clients),
            users=dict(client.user for client in clients),
        )

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
        own, security = self.askers_own, self.ground.security
        if own is not None and security is not None:
            server = security.server(self.plan.host, self.names)
            files = SecurityConfig(
                certificate=str(own.certificate), key=str(own.key), server_certificate=str(server.certificate)
            )
            secure(client, files, PROBE)
            client.set_user(own.username)
            client.set_password(own.password())
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

    @property
    def held(self) -> dict[str, int]:
        """How many values each node of its server has had."""
        assert self.server is not None
        return self.server.held

    @property
    def remembered(self) -> dict[str, tuple[int, int]]:
        """How many values the history of each node holds, and their checksum."""
        assert self.server is not None
        return self.server.remembered
