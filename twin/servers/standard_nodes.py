"""The standard address space (Part 5), built once in a process and copied node by node for each server.

asyncua builds its 6,000 nodes anew for every server, which takes a second, and does so in a thread.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, MutableMapping
from types import MappingProxyType

from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData, NodeManagementService
from asyncua.server.standard_address_space import standard_address_space


@functools.cache
def _pristine() -> MappingProxyType[ua.NodeId, NodeData]:
    address_space = AddressSpace()
    standard_address_space.fill_address_space(NodeManagementService(address_space))
    return MappingProxyType(address_space._nodes)


class NodesOfOneServer(MutableMapping[ua.NodeId, NodeData]):
    """All nodes of one server: its own, and each standard node as a copy from when it is first asked for."""

    def __init__(self) -> None:
        self._own: dict[ua.NodeId, NodeData] = {}
        self._standard = dict.fromkeys(_pristine())

    def __getitem__(self, node_id: ua.NodeId) -> NodeData:
        node = self._own.get(node_id)
        if node is None:
            if node_id not in self._standard:
                raise KeyError(node_id)
            del self._standard[node_id]
            node = self._own[node_id] = _copy(_pristine()[node_id])
        return node

    def __setitem__(self, node_id: ua.NodeId, node: NodeData) -> None:
        self._standard.pop(node_id, None)
        self._own[node_id] = node

    def __delitem__(self, node_id: ua.NodeId) -> None:
        self[node_id]
        del self._own[node_id]

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._own or node_id in self._standard

    def __iter__(self) -> Iterator[ua.NodeId]:
        yield from [*self._standard, *self._own]

    def __len__(self) -> int:
        return len(self._own) + len(self._standard)


def fill(address_space: AddressSpace) -> None:
    """Give the address space its own standard nodes."""
    address_space._nodes = NodesOfOneServer()  # as asyncua's own shelf does


def _copy(node: NodeData) -> NodeData:
    """What a server changes is copied (attributes, references), what it only replaces is shared (their values).

    The value of a Value attribute is copied as well where it can be changed in place: asyncua does that with
    ServerStatus and the arrays of the Server object.
    """
    twin = NodeData(node.nodeid)
    for attribute_id, attribute in node.attributes.items():
        value = attribute.value
        if attribute_id == ua.AttributeIds.Value and value is not None:
            content = value.Value.Value if value.Value is not None else None
            if isinstance(content, list | ua.ServerStatusDataType):
                value = copy.deepcopy(value)
        twin.attributes[attribute_id] = AttributeValue(value)
    twin.references = list(node.references)
    return twin
