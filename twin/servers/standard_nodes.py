"""The standard address space (Part 5), built once in a process and copied for each server.

asyncua builds its 6,000 nodes anew for every server, which takes a second, and does so in a thread.
"""

from __future__ import annotations

import copy
import functools

from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData, NodeManagementService
from asyncua.server.standard_address_space import standard_address_space


@functools.cache
def _pristine() -> AddressSpace:
    address_space = AddressSpace()
    standard_address_space.fill_address_space(NodeManagementService(address_space))
    return address_space


def fill(address_space: AddressSpace) -> None:
    """Give the address space its own copy of every standard node."""
    for node_id in _pristine().keys():  # noqa: SIM118  # AddressSpace is no mapping
        address_space[node_id] = _copy(_pristine()[node_id])


def _copy(node: NodeData) -> NodeData:
    """What a server changes is copied (attributes, references), what it only replaces is shared (their values).

    The value of a Value attribute is copied as well where it can be changed in place: asyncua does that with
    ServerStatus and the arrays of the Server object.
    """
    twin = NodeData(node.nodeid)
    for attribute_id, attribute in node.attributes.items():
        value = attribute.value
        if attribute_id == ua.AttributeIds.Value and value is not None and _is_mutable(value):
            value = copy.deepcopy(value)
        twin.attributes[attribute_id] = AttributeValue(value)
    twin.references = list(node.references)
    return twin


def _is_mutable(value: ua.DataValue) -> bool:
    content = value.Value.Value if value.Value is not None else None
    if isinstance(content, list):
        return not content or not isinstance(content[0], ua.Argument | ua.EnumValueType | ua.LocalizedText)
    return isinstance(content, ua.ServerStatusDataType)
