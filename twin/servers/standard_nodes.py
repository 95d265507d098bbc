"""The standard address space (Part 5): described once in a process, and each server makes the nodes that are asked for.

asyncua makes its 6,000 nodes anew for every server, which takes a second, and a run asks for forty of them. Here its
own generated functions run once with constructors that only note what they were called with; a node and its
references are made from that when a server is first asked for the node.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, MutableMapping
from dataclasses import is_dataclass
from functools import partial
from types import FunctionType
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace, NodeData, NodeManagementService
from asyncua.server.standard_address_space import standard_address_space_services as generated

_HAS_TYPE_DEFINITION = ua.NodeId(ua.ObjectIds.HasTypeDefinition)


class _Later:
    """A namespace whose dataclasses are not made but noted: a call gives a `partial`, for `_made`."""

    def __init__(self, namespace: Any) -> None:
        self._namespace = namespace

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._namespace, name)
        if isinstance(found, type) and is_dataclass(found):
            found = partial(partial, found)
        setattr(self, name, found)
        return found


def _made(noted: Any) -> Any:
    if isinstance(noted, partial):
        return noted.func(*map(_made, noted.args), **{name: _made(of) for name, of in noted.keywords.items()})
    return [_made(one) for one in noted] if isinstance(noted, list) else noted


class _Description:
    """What asyncua's generated functions say of every node, in the order in which it would have come to be."""

    def __init__(self) -> None:
        self.nodes: dict[ua.NodeId, Any] = {}
        self._references: defaultdict[ua.NodeId, list[Any]] = defaultdict(list)
        self._waiting: tuple[list[Any], list[Any]] = ([], [])
        names = {
            "ua": _Later(ua),
            "NodeClass": ua.NodeClass,
            "NumericNodeId": functools.cache(ua.NumericNodeId),
        }
        names |= {name: partial(partial, getattr(ua, name)) for name in ("QualifiedName", "LocalizedText")}
        for name, function in vars(generated).items():
            if name.startswith("create_standard_address_space_Services_"):
                FunctionType(function.__code__, function.__globals__ | names)(self)
        for waiting in self._waiting[0]:
            self._add(waiting)
        for waiting in self._waiting[1]:
            self._references[waiting.keywords["SourceNodeId"]].append(waiting)

    def add_nodes(self, items: list[Any]) -> None:
        """As the server does while it loads: what lacks its parent or its type waits to the end."""
        for item in items:
            needed = {item.keywords.get(name) for name in ("ParentNodeId", "TypeDefinition")} - {None}
            if needed <= self.nodes.keys():
                self._add(item)
            else:
                self._waiting[0].append(item)

    def add_references(self, references: list[Any]) -> None:
        for reference in references:
            ends = reference.keywords
            if ends["SourceNodeId"] in self.nodes and ends["TargetNodeId"] in self.nodes:
                self._references[ends["SourceNodeId"]].append(reference)
            else:
                self._waiting[1].append(reference)

    def _add(self, item: Any) -> None:
        node_id = item.keywords["RequestedNewNodeId"]
        self.nodes[node_id] = item
        self._references[node_id].append(item)
        parent = item.keywords.get("ParentNodeId")
        if parent is not None:
            self._references[parent].append(item)

    def node(self, node_id: ua.NodeId) -> NodeData:
        """A new node with its references, as `NodeManagementService` makes them."""
        node = NodeData(node_id)
        item = _made(self.nodes[node_id])
        NodeManagementService(AddressSpace())._add_node_attributes(node, item, add_timestamps=False)
        seen = set()
        for kind, target, forward, node_class in self._all_references(node_id):
            if (kind, target) not in seen:
                seen.add((kind, target))
                node.references.append(self._reference(kind, target, forward, node_class))
        return node

    def _all_references(self, node_id: ua.NodeId) -> Iterator[tuple[ua.NodeId, ua.NodeId, bool, Any]]:
        for noted in self._references[node_id]:
            said = noted.keywords
            if noted.func is ua.AddReferencesItem:
                yield (
                    said["ReferenceTypeId"],
                    said["TargetNodeId"],
                    said["IsForward"],
                    said["TargetNodeClass"],
                )
            elif said["RequestedNewNodeId"] == node_id:
                if "ParentNodeId" in said:
                    yield said["ReferenceTypeId"], said["ParentNodeId"], False, None
                if "TypeDefinition" in said:
                    yield _HAS_TYPE_DEFINITION, said["TypeDefinition"], True, None
            else:
                yield said["ReferenceTypeId"], said["RequestedNewNodeId"], True, None

    def _reference(
        self, kind: ua.NodeId, target: ua.NodeId, forward: bool, node_class: ua.NodeClass | None
    ) -> ua.ReferenceDescription:
        said = self.nodes[target].keywords
        described = ua.ReferenceDescription()
        described.ReferenceTypeId, described.NodeId, described.IsForward = kind, target, forward
        described.NodeClass = node_class or said["NodeClass"]
        described.BrowseName = _made(said["BrowseName"])
        described.DisplayName = _made(said["NodeAttributes"].keywords["DisplayName"])
        if "TypeDefinition" in said:
            described.TypeDefinition = said["TypeDefinition"]
        return described


_description = functools.cache(_Description)


class NodesOfOneServer(MutableMapping[ua.NodeId, NodeData]):
    """All nodes of one server: its own, and each standard node from when it is first asked for."""

    def __init__(self) -> None:
        self._own: dict[ua.NodeId, NodeData] = {}
        self._standard = dict.fromkeys(_description().nodes)

    def __getitem__(self, node_id: ua.NodeId) -> NodeData:
        node = self._own.get(node_id)
        if node is None:
            if node_id not in self._standard:
                raise KeyError(node_id)
            del self._standard[node_id]
            node = self._own[node_id] = _description().node(node_id)
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
