"""The address space that a plant shows: Objects/<plant>/<machine>/<tag>, browsable by any client.

Tags with a range and a unit are AnalogItemType variables with EURange and EngineeringUnits (Part 8, 5.3.2.3 and 5.6.3).
"""

from __future__ import annotations

from collections.abc import Iterable

from asyncua import ua
from asyncua.server.internal_server import InternalServer

from shakedown.twin.servers import encoding
from shakedown.twin.servers.tag import Signal, TagValue

UNECE = "http://www.opcfoundation.org/UA/units/un/cefact"
NAMESPACE_INDEX = 2  # 0 is OPC UA itself, 1 the server's own; the plant is the first after these

_READ = ua.AccessLevel.CurrentRead.mask
_READ_HISTORY = _READ | ua.AccessLevel.HistoryRead.mask


def unece_unit_id(code: str) -> int:
    """EUInformation.unitId of a UNECE Recommendation 20 code: its characters as a big-endian integer.

    >>> unece_unit_id("CEL")
    4408652
    """
    return int.from_bytes(code.encode("ascii"), "big")


def build(server: InternalServer, plant: str, tags: Iterable[TagValue]) -> None:
    """Add the plant with all its tags; ValueError where two tags have one NodeId, or one is outside `ns=2`."""
    root = _node_id(f"/{plant}")
    add_node(server, _object(root, ua.NodeId(ua.ObjectIds.ObjectsFolder), plant, ua.ObjectIds.Organizes))
    machines: dict[str, ua.NodeId] = {}
    for tag in tags:
        machine = tag.signal.machine
        if machine not in machines:
            machines[machine] = add_object(server, plant, machine)
        _add_tag(server, machines[machine], tag)


def add_object(server: InternalServer, plant: str, name: str) -> ua.NodeId:
    """Add an object below the plant; its NodeId."""
    node_id = _node_id(f"/{plant}/{name}")
    add_node(server, _object(node_id, _node_id(f"/{plant}"), name, ua.ObjectIds.HasComponent))
    return node_id


def add_arguments(server: InternalServer, method: ua.NodeId, name: str, arguments: list[ua.Argument]) -> None:
    """Add the InputArguments or OutputArguments of a method (Part 3, 5.7)."""
    node_id = _node_id(f"{method.Identifier}/{name}")
    item = _variable(node_id, method, name, ua.ObjectIds.HasProperty, ua.ObjectIds.PropertyType, namespace=0)
    attributes = item.NodeAttributes
    attributes.Value = ua.Variant(arguments, ua.VariantType.ExtensionObject)
    attributes.DataType = ua.NodeId(ua.ObjectIds.Argument)
    attributes.ValueRank = ua.ValueRank.OneDimension
    attributes.ArrayDimensions = [len(arguments)]
    add_node(server, item)


def _add_tag(server: InternalServer, parent: ua.NodeId, tag: TagValue) -> None:
    signal = tag.signal
    node_id = ua.NodeId.from_string(signal.node_id)
    if node_id.NamespaceIndex != NAMESPACE_INDEX or node_id.NodeIdType != ua.NodeIdType.String:
        raise ValueError(
            f"signal {signal.tag}: node_id {signal.node_id!r} must be 'ns={NAMESPACE_INDEX};s=...'"
        )
    span = eu_range(signal)
    kind = ua.ObjectIds.AnalogItemType if span is not None else ua.ObjectIds.BaseDataVariableType
    item = _variable(node_id, parent, signal.tag, ua.ObjectIds.HasComponent, kind)
    attributes = item.NodeAttributes
    attributes.Value = ua.Variant(None, ua.VariantType.Null)
    attributes.DataType = ua.NodeId(getattr(ua.ObjectIds, signal.data_type))
    attributes.AccessLevel = attributes.UserAccessLevel = _READ_HISTORY
    attributes.Historizing = True
    attributes.MinimumSamplingInterval = float(signal.scan_ms)
    attributes.Description = ua.LocalizedText(signal.description or signal.tag)
    add_node(server, item)
    server.aspace[node_id].attributes[ua.AttributeIds.Value] = tag
    if span is not None:
        _add_property(server, node_id, "EURange", span)
    if signal.unit:
        unit = ua.EUInformation(
            UNECE, unece_unit_id(signal.unit), ua.LocalizedText(signal.unit), ua.LocalizedText(signal.unit)
        )
        _add_property(server, node_id, "EngineeringUnits", unit)


def eu_range(signal: Signal) -> ua.Range | None:
    """The range of an analog item: a number with limits that are some."""
    low, high = signal.eu_low, signal.eu_high
    if signal.data_type not in encoding.NUMERIC or low is None or high is None or not high > low:
        return None
    return ua.Range(float(low), float(high))


def _add_property(
    server: InternalServer, owner: ua.NodeId, name: str, value: ua.Range | ua.EUInformation
) -> None:
    node_id = ua.NodeId(f"{owner.Identifier}/{name}", NAMESPACE_INDEX)
    item = _variable(node_id, owner, name, ua.ObjectIds.HasProperty, ua.ObjectIds.PropertyType, namespace=0)
    item.NodeAttributes.Value = ua.Variant(value, ua.VariantType.ExtensionObject)
    item.NodeAttributes.DataType = value.data_type
    add_node(server, item)


def _node_id(name: str) -> ua.NodeId:
    return ua.NodeId(name, NAMESPACE_INDEX)


def _object(node_id: ua.NodeId, parent: ua.NodeId, name: str, reference: int) -> ua.AddNodesItem:
    item = ua.AddNodesItem(RequestedNewNodeId=node_id, NodeClass=ua.NodeClass.Object, ParentNodeId=parent)
    item.BrowseName = ua.QualifiedName(name, NAMESPACE_INDEX)
    item.ReferenceTypeId = ua.NodeId(reference)
    item.TypeDefinition = ua.NodeId(ua.ObjectIds.BaseObjectType)
    item.NodeAttributes = ua.ObjectAttributes(
        DisplayName=ua.LocalizedText(name), Description=ua.LocalizedText(name)
    )
    return item


def _variable(
    node_id: ua.NodeId,
    parent: ua.NodeId,
    name: str,
    reference: int,
    kind: int,
    namespace: int = NAMESPACE_INDEX,
) -> ua.AddNodesItem:
    item = ua.AddNodesItem(RequestedNewNodeId=node_id, NodeClass=ua.NodeClass.Variable, ParentNodeId=parent)
    item.BrowseName = ua.QualifiedName(name, namespace)
    item.ReferenceTypeId = ua.NodeId(reference)
    item.TypeDefinition = ua.NodeId(kind)
    item.NodeAttributes = ua.VariableAttributes(
        DisplayName=ua.LocalizedText(name),
        Description=ua.LocalizedText(name),
        ValueRank=ua.ValueRank.Scalar,
        AccessLevel=_READ,
        UserAccessLevel=_READ,
    )
    return item


def add_node(server: InternalServer, item: ua.AddNodesItem) -> None:
    """Add one node; ValueError when it cannot be, for instance because its NodeId is taken."""
    result = server.node_mgt_service.add_nodes([item])[0]
    if not result.StatusCode.is_good():
        raise ValueError(
            f"cannot add node {item.RequestedNewNodeId.to_string()} ({item.BrowseName.Name}) to the address space: "
            f"{result.StatusCode.name}; NodeIds and names must be unique in the plant file"
        )
