"""Methods that a client may call (Part 4, 5.12), as nodes below the plant; without any, nothing is added."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from asyncua import ua
from asyncua.server.internal_server import InternalServer

from shakedown.twin.servers import address_space

_log = logging.getLogger(__name__)
_Called = Callable[..., Awaitable[ua.CallMethodResult]]


@dataclass(frozen=True, slots=True)
class Method:
    """`Objects/<plant>/<owner>/<name>(<argument>: String)`, which answers with its status alone.

    `call` gets the argument. A LookupError of it is answered Bad_InvalidArgument (the argument itself Bad_OutOfRange),
    a RuntimeError Bad_InvalidState.
    """

    owner: str
    name: str
    argument: str
    description: str
    argument_description: str
    call: Callable[[str], None]


def build(server: InternalServer, plant: str, methods: Iterable[Method]) -> None:
    """Add the methods to the address space, each below its owner, which is made when it is first named."""
    owners: dict[str, ua.NodeId] = {}
    for method in methods:
        if method.owner not in owners:
            owners[method.owner] = address_space.add_object(server, plant, method.owner)
        _add(server, owners[method.owner], method)


def _add(server: InternalServer, owner: ua.NodeId, method: Method) -> None:
    node_id = ua.NodeId(f"{owner.Identifier}/{method.name}", address_space.NAMESPACE_INDEX)
    item = ua.AddNodesItem(RequestedNewNodeId=node_id, NodeClass=ua.NodeClass.Method, ParentNodeId=owner)
    item.BrowseName = ua.QualifiedName(method.name, address_space.NAMESPACE_INDEX)
    item.ReferenceTypeId = ua.NodeId(ua.ObjectIds.HasComponent)
    item.NodeAttributes = ua.MethodAttributes(
        DisplayName=ua.LocalizedText(method.name),
        Description=ua.LocalizedText(method.description),
        Executable=True,
        UserExecutable=True,
    )
    address_space.add_node(server, item)
    argument = ua.Argument(
        Name=method.argument,
        DataType=ua.NodeId(ua.ObjectIds.String),
        ValueRank=ua.ValueRank.Scalar,
        Description=ua.LocalizedText(method.argument_description),
    )
    address_space.add_arguments(server, node_id, "InputArguments", [argument])
    server.isession.add_method_callback(node_id, _callback(owner, method))


def _callback(owner: ua.NodeId, method: Method) -> _Called:
    """What asyncua runs for a call; every way it can go wrong has the status that 5.12.2 gives it."""

    async def called(parent: ua.NodeId, *arguments: ua.Variant) -> ua.CallMethodResult:
        if parent != owner:
            return _result(ua.StatusCodes.BadMethodInvalid)
        if len(arguments) != 1:
            missing = not arguments
            return _result(
                ua.StatusCodes.BadArgumentsMissing if missing else ua.StatusCodes.BadTooManyArguments
            )
        argument = arguments[0]
        if argument.VariantType != ua.VariantType.String or not isinstance(argument.Value, str):
            return _result(ua.StatusCodes.BadInvalidArgument, ua.StatusCodes.BadTypeMismatch)
        try:
            method.call(argument.Value)
        except LookupError as error:
            _log.info("%s/%s: %s", method.owner, method.name, error)
            return _result(ua.StatusCodes.BadInvalidArgument, ua.StatusCodes.BadOutOfRange)
        except RuntimeError as error:
            _log.info("%s/%s: %s", method.owner, method.name, error)
            return _result(ua.StatusCodes.BadInvalidState)
        return _result(ua.StatusCodes.Good)

    return called


def _result(status: int, argument: int = ua.StatusCodes.Good) -> ua.CallMethodResult:
    result = ua.CallMethodResult(StatusCode=ua.StatusCode(status))
    if status == ua.StatusCodes.BadInvalidArgument:
        result.InputArgumentResults = [ua.StatusCode(argument)]
    return result
