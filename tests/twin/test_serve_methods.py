"""The methods of a plant's OPC UA server: called by a client, answered as Part 4, 5.12.2 says, absent if not wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from asyncua import Client, ua

from shakedown.twin.clock import now_ns, run
from shakedown.twin.enterprise.errors import LabServiceError
from shakedown.twin.line import Plant
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.web import plant_server
from shakedown.twin.web.live import LiveLedger
from shakedown.twin.web.plant_server import PlantServer
from tests.twin.line_rig import document

T = TypeVar("T")
UPSETS = {
    "vibration_stuck": {"kind": "stuck", "signals": ["filler.vibration"], "lasts_s": 30},
    "filler_wears": {"kind": "bearing_wear", "machine": "filler", "mode": "wear"},
}


def with_client(
    script: Callable[[Client, PlantServer, LiveLedger], Awaitable[T]], *, with_methods: bool = True
) -> T:
    """Run `script` with an ordinary client at a served line, in virtual time."""

    async def main() -> T:
        with MemoryNetwork(seed=1) as network:
            plc, desk = network.add_host("plc", "cell"), network.add_host("desk", "cell")
            served = PlantServer(
                Plant.model_validate(document(upsets=UPSETS)), "plc", 4840, with_methods=with_methods
            )
            await plc.spawn(served.server.start())
            live = LiveLedger(now_ns())
            served.set_up(1, live)
            tasks = [plc.spawn(served.run_line()), plc.spawn(served.publish())]
            try:
                return await desk.spawn(_connected(served, live, script))
            finally:
                for task in tasks:
                    task.cancel()
                await plc.spawn(served.server.stop())

    return run(main())


async def _connected(
    served: PlantServer, live: LiveLedger, script: Callable[[Client, PlantServer, LiveLedger], Awaitable[T]]
) -> T:
    client = Client(served.server.url)
    await client.connect()
    try:
        return await script(client, served, live)
    finally:
        await client.disconnect()


async def call(client: Client, owner: str, method: str, *arguments: Any) -> ua.CallMethodResult:
    request = ua.CallMethodRequest()
    request.ObjectId = ua.NodeId(f"/small/{owner}" if owner else "/small", 2)
    request.MethodId = ua.NodeId(f"/small/{method}", 2)
    request.InputArguments = [
        argument if isinstance(argument, ua.Variant) else ua.Variant(argument, ua.VariantType.String)
        for argument in arguments
    ]
    (result,) = await client.uaclient.call([request])
    return result


def test_an_upset_begins_when_a_client_says_so() -> None:
    async def script(client: Client, served: PlantServer, live: LiveLedger) -> None:
        await asyncio.sleep(3)
        before = now_ns()
        result = await call(client, "Upsets", "Upsets/Trigger", "vibration_stuck")
        assert result.StatusCode.is_good()
        await asyncio.sleep(0.1)
        (begun,) = live.tail(10, "upset")
        assert begun[4] == {
            "phase": "start",
            "id": "vibration_stuck",
            "upset": "stuck",
            "signals": ["filler.vibration"],
        }
        assert 0 <= begun[1] - before < 50_000_000
        node = client.get_node("ns=2;s=F.V")
        await asyncio.sleep(1)
        shown = [await node.read_value()]
        for _ in range(5):
            await asyncio.sleep(1)
            shown.append(await node.read_value())
        assert len(set(shown)) == 1
        await asyncio.sleep(30)
        assert await node.read_value() != shown[0]

    with_client(script)


def test_a_fault_is_repaired_when_a_client_says_so() -> None:
    async def script(client: Client, served: PlantServer, live: LiveLedger) -> None:
        await call(client, "Upsets", "Upsets/Trigger", "filler_wears")
        await asyncio.sleep(5)
        (fault,) = served.line.open_faults
        assert (await call(client, "Faults", "Faults/Repair", fault)).StatusCode.is_good()
        await asyncio.sleep(0.1)
        assert not served.line.open_faults
        assert [event[4]["phase"] for event in live.tail(10, "fault")] == ["onset", "repaired"]

    with_client(script)


@pytest.mark.parametrize(
    ("owner", "arguments", "status", "of_the_argument"),
    [
        ("Upsets", ("nope",), "BadInvalidArgument", "BadOutOfRange"),
        ("Upsets", (ua.Variant(1, ua.VariantType.UInt32),), "BadInvalidArgument", "BadTypeMismatch"),
        ("Upsets", (ua.Variant(["a"], ua.VariantType.String),), "BadInvalidArgument", "BadTypeMismatch"),
        ("Upsets", (ua.Variant(None, ua.VariantType.String),), "BadInvalidArgument", "BadTypeMismatch"),
        ("Upsets", (), "BadArgumentsMissing", None),
        ("Upsets", ("vibration_stuck", "vibration_stuck"), "BadTooManyArguments", None),
        ("", ("vibration_stuck",), "BadMethodInvalid", None),
    ],
)
def test_a_wrong_call_has_the_status_that_says_why(
    owner: str, arguments: tuple[Any, ...], status: str, of_the_argument: str | None
) -> None:
    async def script(client: Client, served: PlantServer, live: LiveLedger) -> None:
        await asyncio.sleep(2)
        result = await call(client, owner, "Upsets/Trigger", *arguments)
        assert result.StatusCode.name == status
        if of_the_argument is not None:
            assert [code.name for code in result.InputArgumentResults] == [of_the_argument]
        await asyncio.sleep(1)
        assert live.tail(10, "upset") == []

    with_client(script)


def test_before_the_line_is_set_up_the_state_is_invalid() -> None:
    async def script(client: Client, served: PlantServer, live: LiveLedger) -> None:
        served._line = None
        assert (await call(client, "Upsets", "Upsets/Trigger", "nope")).StatusCode.name == "BadInvalidState"

    with_client(script)


async def nodes_below(client: Client, served: PlantServer, live: LiveLedger) -> set[str]:
    """Every node of the plant's namespace, by NodeId."""
    found: set[str] = set()
    waiting = [client.get_node("ns=2;s=/small")]
    while waiting:
        node = waiting.pop()
        found.add(node.nodeid.to_string())
        waiting += await node.get_children(ua.ObjectIds.HierarchicalReferences)
    return found


def test_without_methods_the_address_space_holds_the_tags_alone() -> None:
    without = with_client(nodes_below, with_methods=False)
    added = with_client(nodes_below) - without
    methods = ("/small/Upsets", "/small/Upsets/Trigger", "/small/Faults", "/small/Faults/Repair")
    assert added == {
        f"ns=2;s={name}"
        for name in (*methods, f"{methods[1]}/InputArguments", f"{methods[3]}/InputArguments")
    }
    assert not any("Upsets" in name or "Faults" in name for name in without)


def test_the_argument_tells_which_upsets_there_are() -> None:
    async def script(client: Client, served: PlantServer, live: LiveLedger) -> None:
        node = client.get_node("ns=2;s=/small/Upsets/Trigger/InputArguments")
        (argument,) = await node.read_value()
        assert (argument.Name, argument.DataType) == ("id", ua.NodeId(ua.ObjectIds.String))
        assert argument.Description.Text == "One of: vibration_stuck, filler_wears"

    with_client(script)


def test_a_server_that_does_not_keep_up_is_told_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plant_server, "SCANS_WAITING_MAX", 3)

    async def main() -> None:
        served = PlantServer(Plant.model_validate(document()), "plc", 4840)
        served.set_up(1, LiveLedger(now_ns()))
        with pytest.raises(LabServiceError, match="3 scans behind the line"):
            await served.run_line()

    run(main())
