"""The standard nodes that are made when they are asked for are those that asyncua makes."""

from __future__ import annotations

from asyncua import ua
from asyncua.server.address_space import AddressSpace, NodeData, NodeManagementService
from asyncua.server.standard_address_space import standard_address_space

from shakedown.twin.servers import standard_nodes


def contents(node: NodeData) -> tuple[object, ...]:
    attributes = {number: attribute.value for number, attribute in node.attributes.items()}
    return node.nodeid, attributes, list(attributes), node.references


def test_every_node_is_as_asyncua_makes_it() -> None:
    theirs, ours = AddressSpace(), AddressSpace()
    standard_address_space.fill_address_space(NodeManagementService(theirs))
    standard_nodes.fill(ours)
    node_ids = set(theirs.keys())
    assert set(ours.keys()) == node_ids
    for node_id in node_ids:
        assert contents(ours[node_id]) == contents(theirs[node_id]), node_id


def test_what_one_server_changes_another_does_not_see() -> None:
    one, other = AddressSpace(), AddressSpace()
    for space in (one, other):
        standard_nodes.fill(space)
    for identifier in (ua.ObjectIds.Server_ServerArray, ua.ObjectIds.Server_ServerStatus):
        node_id = ua.NodeId(identifier)
        mine, its = (space[node_id].attributes[ua.AttributeIds.Value].value for space in (one, other))
        assert mine is not its
    objects = ua.NodeId(ua.ObjectIds.ObjectsFolder)
    one[objects].references.clear()
    assert other[objects].references
