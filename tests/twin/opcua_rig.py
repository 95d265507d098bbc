"""A lab for the OPC UA server: asyncua's bare one and ours, in virtual time, and a client that hides nothing.

`contrast` runs a scenario on both and holds each to what it is expected to do: the bare server to its defect, so that
it shows when upstream mends it, ours to the clause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import Client, Server, ua
from asyncua.server.internal_server import InternalServer
from asyncua.ua.ua_binary import struct_from_binary

from shakedown.twin.clock import run
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.servers import standard_nodes
from shakedown.twin.servers.limits import OpcUaLimits
from shakedown.twin.servers.opcua import OpcUaServer

PORT = 4840
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Tag:
    """A signal as the server wants it."""

    tag: str
    data_type: str = "Double"
    unit: str = "CEL"
    eu_low: float | None = 0.0
    eu_high: float | None = 200.0
    machine: str = "filler_1"
    scan_ms: int = 100
    description: str = ""

    @property
    def node_id(self) -> str:
        return f"ns=2;s={self.tag}"


TAGS = tuple(Tag(f"T{i}") for i in range(4))


class BareInternalServer(InternalServer):
    """asyncua's, but for the second that it takes to build the standard address space."""

    async def load_standard_address_space(self, shelf_file: Any = None) -> None:
        standard_nodes.fill(self.aspace)


class BareServer:
    """asyncua's server as it comes, showing the same tags."""

    def __init__(self, host: str, port: int, signals: Sequence[Tag], **_: Any) -> None:
        self.url = f"opc.tcp://{host}:{port}/line1"
        self.signals = signals
        self.server = Server(BareInternalServer())

    async def start(self) -> None:
        await self.server.init()
        self.server.set_endpoint(self.url)
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        assert await self.server.register_namespace("urn:test") == 2
        for signal in self.signals:
            kind = ua.VariantType[signal.data_type]
            value = ua.get_default_value(kind)
            node = await self.server.nodes.objects.add_variable(
                ua.NodeId.from_string(signal.node_id), signal.tag, value, kind
            )
            if signal.eu_high is not None:
                await node.add_property(0, "EURange", ua.Range(signal.eu_low, signal.eu_high))
        await self.server.start()

    async def publish(self, source_ts_ns: int, changes: Sequence[tuple[int, Any, int]]) -> None:
        for index, value, status in changes:
            signal = self.signals[index]
            stamp = EPOCH + timedelta(microseconds=source_ts_ns // 1000)
            variant = ua.Variant(value, ua.VariantType[signal.data_type]) if value is not None else None
            await self.server.write_attribute_value(
                ua.NodeId.from_string(signal.node_id),
                ua.DataValue(variant, ua.StatusCode(status), SourceTimestamp=stamp),
            )

    async def stop(self) -> None:
        await self.server.stop()


@dataclass
class Lab:
    """A server on host `plc`, and as many clients as a scenario connects from host `client`."""

    server: Any
    url: str
    network: MemoryNetwork

    async def write(self, value: Any, status: int = 0, index: int = 0) -> None:
        """One change of one tag, now."""
        await self.server.publish(time.time_ns(), [(index, value, status)])

    async def connect(self, **options: Any) -> Peer:
        """A new client with an activated session."""
        peer = Peer(self.url, **options)
        await peer.open()
        await peer.create_session()
        return peer


def play(
    kind: str,
    scenario: Callable[[Lab], Coroutine[Any, Any, Any]],
    *,
    tags: Sequence[Tag] = TAGS,
    limits: OpcUaLimits | None = None,
) -> Any:
    """Run a scenario against the `bare` or the `corrected` server in virtual time; its result."""

    async def main() -> Any:
        with MemoryNetwork() as network:
            network.add_host("plc", "cell")
            network.add_host("client", "cell")
            address = await network.listen_address("plc", PORT)
            if kind == "bare":
                server: Any = BareServer(*address, tags)
            else:
                server = OpcUaServer(*address, tags, endpoint_name="line1", limits=limits)
            await network.host("plc").spawn(server.start(), name="start")
            host, port = await network.route("client", "plc", PORT)
            lab = Lab(server, f"opc.tcp://{host}:{port}/line1", network)
            try:
                return await network.host("client").spawn(scenario(lab), name="scenario")
            finally:
                await network.host("plc").spawn(server.stop(), name="stop")

    return run(main())


NIGHTLY = [pytest.mark.slow, pytest.mark.long]  # a library as it is changes with its version alone
on_both_servers = pytest.mark.parametrize("kind", [pytest.param("bare", marks=NIGHTLY), "corrected"])


def contrast(*, bare: Any, corrected: Any) -> Any:
    """Run the test for both servers; `expected` is what each is known to do."""
    return pytest.mark.parametrize(
        ("kind", "expected"),
        [
            pytest.param("bare", bare, id="bare", marks=NIGHTLY),
            pytest.param("corrected", corrected, id="ours"),
        ],
    )


class Peer:
    """A raw OPC UA client: every service as one call, no publish loop, no recovery."""

    def __init__(self, url: str, *, application_uri: str = "urn:test:client", timeout_s: float = 60) -> None:
        self.client = Client(url, timeout=timeout_s)
        self.client.application_uri = application_uri
        self.client.session_timeout = 60_000
        self.subscription_id = 0
        self.last_sequence_number = 0

    @property
    def session(self) -> Any:
        return self.client.uaclient.session

    async def open(self) -> None:
        """TCP, Hello and a secure channel."""
        await self.client.connect_socket()
        await self.client.send_hello()
        await self.client.open_secure_channel()

    async def create_session(self) -> None:
        await self.client.create_session()
        await self.client.activate_session(self.client._username, self.client._password)

    async def reactivate(self, former: Peer) -> None:
        """Take over the session of a peer that lost its connection."""
        self.session.restore_authentication_token(former.session.authentication_token)
        self.client._server_nonce = former.client._server_nonce
        await self.client.activate_session()
        self.subscription_id = former.subscription_id
        self.last_sequence_number = former.last_sequence_number

    def kill(self) -> None:
        """Die without a word."""
        protocol = self.client.uaclient.protocol
        if protocol is not None and protocol.transport is not None:
            protocol.transport.abort()

    async def request(self, request: Any, response: type, timeout_s: float = 60) -> Any:
        """Any service; raises UaStatusCodeError for a bad ServiceResult."""
        data = await self.session._send_request(request, timeout_s)
        answer = struct_from_binary(response, data)
        answer.ResponseHeader.ServiceResult.check()
        return answer

    async def subscribe(
        self, interval_ms: float = 100, *, per_publish: int = 0, lifetime: int = 1000, keep_alive: int = 10
    ) -> ua.CreateSubscriptionResult:
        request = ua.CreateSubscriptionRequest()
        request.Parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=interval_ms,
            RequestedLifetimeCount=lifetime,
            RequestedMaxKeepAliveCount=keep_alive,
            MaxNotificationsPerPublish=per_publish,
            PublishingEnabled=True,
        )
        result = (await self.request(request, ua.CreateSubscriptionResponse)).Parameters
        self.subscription_id = result.SubscriptionId
        return result

    async def monitor(
        self,
        *indices: int,
        node_ids: Sequence[str] | None = None,
        queue: int = 1000,
        discard_oldest: bool = True,
        sampling_ms: float = 0.0,
        mfilter: Any = None,
        mode: ua.MonitoringMode = ua.MonitoringMode.Reporting,
    ) -> list[ua.MonitoredItemCreateResult]:
        """CreateMonitoredItems; the client handle is the index of the tag."""
        request = ua.CreateMonitoredItemsRequest()
        request.Parameters.SubscriptionId = self.subscription_id
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        for handle, node_id in enumerate(node_ids or [f"ns=2;s=T{i}" for i in indices]):
            item = ua.MonitoredItemCreateRequest(MonitoringMode=mode)
            item.ItemToMonitor = ua.ReadValueId(ua.NodeId.from_string(node_id), ua.AttributeIds.Value)
            item.RequestedParameters = ua.MonitoringParameters(
                handle, sampling_ms, mfilter, queue, discard_oldest
            )
            request.Parameters.ItemsToCreate.append(item)
        return (await self.request(request, ua.CreateMonitoredItemsResponse)).Results

    async def publish(self, *acknowledge: int, timeout_s: float = 60) -> ua.PublishResult:
        """Publish, acknowledging sequence numbers of the own subscription; the next answer."""
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = [
            ua.SubscriptionAcknowledgement(self.subscription_id, number) for number in acknowledge
        ]
        result = (await self.request(request, ua.PublishResponse, timeout_s)).Parameters
        if result.NotificationMessage.NotificationData:
            self.last_sequence_number = result.NotificationMessage.SequenceNumber
        return result

    def publishing(self, *acknowledge: int) -> asyncio.Task[ua.PublishResult]:
        """A publish request on its way."""
        return asyncio.ensure_future(self.publish(*acknowledge))

    async def drain(self) -> list[ua.DataValue]:
        """Publish and acknowledge until a keep-alive says that there is no more; the values, in order."""
        values: list[ua.DataValue] = []
        acknowledge: list[int] = []
        while True:
            result = await self.publish(*acknowledge)
            fresh = data_values(result)
            if not fresh:
                return values
            values += fresh
            acknowledge = [result.NotificationMessage.SequenceNumber]

    async def republish(self, sequence_number: int) -> ua.NotificationMessage:
        return await self.session.republish(self.subscription_id, sequence_number)

    async def transfer(self, subscription_id: int, *, initial: bool) -> ua.TransferResult:
        params = ua.TransferSubscriptionsParameters([subscription_id], initial)
        result = (await self.session.transfer_subscriptions(params))[0]
        if result.StatusCode.is_good():
            self.subscription_id = subscription_id
        return result

    async def read(self, *node_ids: str) -> list[ua.DataValue]:
        return await self.session.read_attributes(
            [ua.NodeId.from_string(node_id) for node_id in node_ids], ua.AttributeIds.Value
        )


def notifications(result: ua.PublishResult | ua.NotificationMessage) -> list[ua.MonitoredItemNotification]:
    """The data-change notifications of a message."""
    message = getattr(result, "NotificationMessage", result)
    return [
        item
        for data in message.NotificationData or []
        if isinstance(data, ua.DataChangeNotification)
        for item in data.MonitoredItems
    ]


def data_values(result: ua.PublishResult | ua.NotificationMessage) -> list[ua.DataValue]:
    """The DataValues of a message, in order."""
    return [item.Value for item in notifications(result)]


def plain(values: Sequence[ua.DataValue]) -> list[Any]:
    """The values alone."""
    return [value.Value.Value for value in values]


def status_of(result: ua.PublishResult) -> str | None:
    """The name of the status in a StatusChangeNotification."""
    for data in result.NotificationMessage.NotificationData or []:
        if isinstance(data, ua.StatusChangeNotification):
            return data.Status.name
    return None


async def code_of(awaitable: Awaitable[Any]) -> str:
    """The name of the StatusCode with which a service is refused, or Good."""
    try:
        await awaitable
    except ua.UaStatusCodeError as error:
        return ua.StatusCode(error.code).name
    return "Good"
