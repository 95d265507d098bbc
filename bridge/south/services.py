"""The service calls of a subscription (OPC UA Part 4, 5.11, 5.13, 5.14), with the server's limits kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from asyncua import ua

from shakedown.bridge.south import decode
from shakedown.bridge.south.channel import Channel

ITEMS_PER_CALL_MAX = 1000
"""Items in one call where the server states no limit."""

_IDS = ua.ObjectIds
_EPOCH_1601 = datetime(1601, 1, 1, tzinfo=UTC)

CONNECTION_FAULTS = frozenset(
    getattr(ua.StatusCodes, name)
    for name in (
        "BadSessionIdInvalid", "BadSessionClosed", "BadSessionNotActivated", "BadSecureChannelIdInvalid",
        "BadSecureChannelClosed", "BadConnectionClosed", "BadCommunicationError", "BadServerHalted", "BadShutdown",
        "BadTimeout", "BadRequestTimeout", "BadOutOfMemory", "BadResourceUnavailable", "BadTcpServerTooBusy",
    )
)  # fmt: skip
"""StatusCodes that say something of the connection or the moment, and nothing of what was asked."""

MOMENTARY_FAULTS = CONNECTION_FAULTS | {
    ua.StatusCodes.BadTooManyOperations,
    ua.StatusCodes.BadNoContinuationPoints,
    ua.StatusCodes.BadEncodingLimitsExceeded,
    ua.StatusCodes.BadResponseTooLarge,
}
"""StatusCodes of a node's history that may be another one when fewer are asked for."""


@dataclass(slots=True)
class Server:
    """What a server says of itself."""

    namespaces: tuple[str, ...]
    items_per_call: int
    nodes_per_history_read: int = ITEMS_PER_CALL_MAX


async def look(channel: Channel) -> Server:
    """Read the NamespaceArray and the OperationLimits; a server without limits gets ours."""
    limits = "Server_ServerCapabilities_OperationLimits_"
    items_limit = getattr(_IDS, f"{limits}MaxMonitoredItemsPerCall")
    namespaces, items = await _read(channel, _IDS.Server_NamespaceArray, items_limit)
    # Apart from these: how many a server takes at a time is not known yet.
    (history_nodes,) = await _read(channel, getattr(_IDS, f"{limits}MaxNodesPerHistoryReadData"))
    namespaces.StatusCode.check()
    return Server(tuple(namespaces.Value.Value or ()), _limit(items), _limit(history_nodes))


async def _read(channel: Channel, *nodes: int) -> list[ua.DataValue]:
    request = ua.ReadRequest()
    request.Parameters.NodesToRead = [
        ua.ReadValueId(NodeId=ua.NodeId(node), AttributeId=ua.AttributeIds.Value) for node in nodes
    ]
    return (await channel.call(request, ua.ReadResponse)).Results


def _limit(found: ua.DataValue) -> int:
    value = found.Value.Value if found.StatusCode.is_good() and found.Value is not None else 0
    is_limit = isinstance(value, int) and value >= 1
    return min(value, ITEMS_PER_CALL_MAX) if is_limit else ITEMS_PER_CALL_MAX


def node_id_of(text: str, namespaces: Sequence[str], server: Server) -> ua.NodeId | int:
    """The node id to use today for one of the configuration, or the StatusCode that says why there is none.

    A server may renumber its namespaces when it restarts; `namespaces` is what it had when the configuration's
    indices were first used.
    """
    try:
        node_id = ua.NodeId.from_string(text)
    except (ua.UaError, ValueError):
        return ua.StatusCodes.BadNodeIdInvalid
    index = node_id.NamespaceIndex
    if index == 0 or tuple(namespaces) == server.namespaces:
        return node_id
    if index >= len(namespaces) or namespaces[index] not in server.namespaces:
        return ua.StatusCodes.BadNodeIdUnknown
    return ua.NodeId(node_id.Identifier, server.namespaces.index(namespaces[index]), node_id.NodeIdType)


async def create_subscription(
    channel: Channel, publishing_interval_ms: int, keep_alive_s: float, life_s: float
) -> int:
    """Create a subscription that outlives an absence of `life_s`; return its id."""
    keep_alive_count = max(1, int(keep_alive_s * 1000 / publishing_interval_ms))
    request = ua.CreateSubscriptionRequest()
    request.Parameters = ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=publishing_interval_ms,
        RequestedLifetimeCount=max(3 * keep_alive_count, int(life_s * 1000 / publishing_interval_ms)),
        RequestedMaxKeepAliveCount=keep_alive_count,
        MaxNotificationsPerPublish=0,
        PublishingEnabled=True,
        Priority=0,
    )
    return (await channel.call(request, ua.CreateSubscriptionResponse)).Parameters.SubscriptionId


async def delete_subscription(channel: Channel, subscription_id: int) -> None:
    """Delete a subscription; that it is gone already is as good."""
    request = ua.DeleteSubscriptionsRequest()
    request.Parameters.SubscriptionIds = [subscription_id]
    await channel.call(request, ua.DeleteSubscriptionsResponse)


async def transfer_subscription(channel: Channel, subscription_id: int) -> bool:
    """Take a subscription over into this session, without initial values; return whether the server did it."""
    request = ua.TransferSubscriptionsRequest()
    request.Parameters.SubscriptionIds = [subscription_id]
    request.Parameters.SendInitialValues = False
    try:
        response = await channel.call(request, ua.TransferSubscriptionsResponse)
    except ua.UaStatusCodeError as error:
        if error.code in CONNECTION_FAULTS:
            raise
        return False
    results = response.Parameters.Results
    return bool(results) and results[0].StatusCode.is_good()


async def republish(channel: Channel, subscription_id: int, sequence: int) -> decode.Notification | None:
    """Ask for a NotificationMessage again; None when the server no longer has it."""
    request = ua.RepublishRequest()
    request.Parameters.SubscriptionId = subscription_id
    request.Parameters.RetransmitSequenceNumber = sequence
    try:
        notification = decode.republish_response(await channel.call_raw(request))
    except ua.UaStatusCodeError as error:
        if error.code == ua.StatusCodes.BadMessageNotAvailable:
            return None
        raise
    # Some servers answer Good and nothing for what they do not have; believing that would never end.
    return None if notification.keep_alive or notification.sequence != sequence else notification


def publish_request(subscription_id: int, acknowledge: Sequence[int]) -> ua.PublishRequest:
    """A Publish that acknowledges what is in the journal."""
    request = ua.PublishRequest()
    request.Parameters.SubscriptionAcknowledgements = [
        ua.SubscriptionAcknowledgement(subscription_id, sequence) for sequence in acknowledge
    ]
    return request


async def create_items(
    channel: Channel,
    server: Server,
    subscription_id: int,
    items: Sequence[tuple[int, ua.NodeId]],
    *,
    sampling_interval_ms: int,
    queue_size: int,
) -> list[tuple[int, int]]:
    """Create monitored items from (client handle, node id); return (StatusCode, monitored item id) for each."""
    results: list[tuple[int, int]] = []
    while len(results) < len(items):
        chunk = items[len(results) : len(results) + server.items_per_call]
        request = ua.CreateMonitoredItemsRequest()
        request.Parameters.SubscriptionId = subscription_id
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.ItemsToCreate = [
            ua.MonitoredItemCreateRequest(
                ua.ReadValueId(NodeId=node_id, AttributeId=ua.AttributeIds.Value),
                ua.MonitoringMode.Reporting,
                ua.MonitoringParameters(handle, sampling_interval_ms, None, queue_size, True),
            )
            for handle, node_id in chunk
        ]
        try:
            response = await channel.call(request, ua.CreateMonitoredItemsResponse)
        except ua.UaStatusCodeError as error:
            if error.code != ua.StatusCodes.BadTooManyOperations or server.items_per_call == 1:
                raise
            server.items_per_call = max(1, len(chunk) // 2)  # it takes fewer than it says, or says nothing
            continue
        if len(response.Results) != len(chunk):
            raise decode.Malformed(f"{len(response.Results)} results for {len(chunk)} monitored items")
        results += [(result.StatusCode.value, result.MonitoredItemId) for result in response.Results]
    return results


async def delete_items(
    channel: Channel, server: Server, subscription_id: int, item_ids: Sequence[int]
) -> None:
    """Delete monitored items; those that are gone already do not matter."""
    for start in range(0, len(item_ids), server.items_per_call):
        request = ua.DeleteMonitoredItemsRequest()
        request.Parameters.SubscriptionId = subscription_id
        request.Parameters.MonitoredItemIds = list(item_ids[start : start + server.items_per_call])
        await channel.call(request, ua.DeleteMonitoredItemsResponse)


async def read_values(
    channel: Channel, server: Server, items: Sequence[tuple[int, ua.NodeId]]
) -> list[decode.DataValue]:
    """Read the current values of (client handle, node id)."""
    values = []
    for start in range(0, len(items), server.items_per_call):
        chunk = items[start : start + server.items_per_call]
        request = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.NodesToRead = [
            ua.ReadValueId(NodeId=node_id, AttributeId=ua.AttributeIds.Value) for _, node_id in chunk
        ]
        found = decode.read_response(await channel.call_raw(request))
        values += [value._replace(handle=handle) for (handle, _), value in zip(chunk, found, strict=False)]
    return values


async def history(
    channel: Channel,
    server: Server,
    start_ticks: int,
    end_ticks: int,
    nodes: Sequence[tuple[ua.NodeId, bytes | None]],
) -> list[decode.HistoryPage]:
    """Read raw history of (node id, continuation point) between two times, both included, as far as one answer goes.

    A server may give to understand that these are too many at a time: then each page has the status that says so.
    """
    request = ua.HistoryReadRequest()
    request.Parameters.HistoryReadDetails = ua.ReadRawModifiedDetails(
        IsReadModified=False,
        StartTime=_EPOCH_1601 + timedelta(microseconds=start_ticks // 10),
        EndTime=_EPOCH_1601 + timedelta(microseconds=end_ticks // 10 + 1),  # servers may leave the end out
        NumValuesPerNode=0,
        ReturnBounds=False,
    )
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    request.Parameters.ReleaseContinuationPoints = False
    request.Parameters.NodesToRead = [
        ua.HistoryReadValueId(NodeId=node_id, ContinuationPoint=point) for node_id, point in nodes
    ]
    try:
        pages = decode.history_response(await channel.call_raw(request))
    except ua.UaStatusCodeError as error:
        if error.code == ua.StatusCodes.BadTooManyOperations:
            server.nodes_per_history_read = max(1, len(nodes) // 2)
        elif error.code in CONNECTION_FAULTS:
            raise
        # a server without history says so in this way too
        return [decode.HistoryPage(error.code, [], None) for _ in nodes]
    if len(pages) != len(nodes):
        raise decode.Malformed(f"{len(pages)} results for the history of {len(nodes)} nodes")
    return pages
