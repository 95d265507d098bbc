"""What a client sees: browse path, types, units, ranges; and that a run is the same each time."""

from __future__ import annotations

import asyncio
import errno
import itertools

import pytest
from asyncua import ua

from shakedown.twin.servers.address_space import unece_unit_id
from shakedown.twin.servers.opcua import OpcUaServer
from tests.twin.opcua_rig import Lab, Tag, data_values, plain, play

TAGS = (
    Tag("FILLER.TT101.PV", "Float", "FAH", 32.0, 212.0, "filler_1", 1000, "Bowl temperature"),
    Tag("FILLER.STATE", "Int32", "", None, None, "filler_1"),
    Tag("CAPPER.RECIPE", "String", "", None, None, "capper_1"),
    Tag("CAPPER.RUN", "Boolean", "", None, None, "capper_1"),
)


@pytest.mark.parametrize(
    ("code", "unit_id"), [("CEL", 4408652), ("FAH", 4604232), ("C62", 4404786), ("P1", 20529)]
)
def test_unit_id_is_the_code_as_a_big_endian_integer(code: str, unit_id: int) -> None:
    assert unece_unit_id(code) == unit_id


def test_browse_path_types_units_and_ranges() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.server.publish(10**18, [(0, 100.5, 0), (1, 6, 0), (2, "Cola 0,5", 0), (3, True, 0)])
        client = (await lab.connect()).client
        assert await client.get_namespace_index("urn:shakedown:line1:plant") == 2
        for tag in TAGS:
            node = await client.nodes.objects.get_child([f"2:{n}" for n in ("line1", tag.machine, tag.tag)])
            assert node.nodeid == ua.NodeId(tag.tag, 2)
            assert (await node.read_data_type()).Identifier == getattr(ua.ObjectIds, tag.data_type)
            assert (await node.read_data_value()).Value.VariantType.name == tag.data_type
            assert (
                await node.read_attribute(ua.AttributeIds.MinimumSamplingInterval)
            ).Value.Value == tag.scan_ms
        node = client.get_node(TAGS[0].node_id)
        assert await node.read_type_definition() == ua.NodeId(ua.ObjectIds.AnalogItemType)
        span = await (await node.get_child("0:EURange")).read_value()
        assert (span.Low, span.High) == (32.0, 212.0)
        unit = await (await node.get_child("0:EngineeringUnits")).read_value()
        assert (unit.NamespaceUri, unit.UnitId) == (
            "http://www.opcfoundation.org/UA/units/un/cefact",
            4604232,
        )
        assert (await node.read_description()).Text == "Bowl temperature"

    play("corrected", scenario, tags=TAGS)


def test_before_the_first_scan_the_value_is_not_good() -> None:
    async def scenario(lab: Lab) -> str:
        return (await (await lab.connect()).read("ns=2;s=T0"))[0].StatusCode.name

    assert play("corrected", scenario) == "BadWaitingForInitialData"


def test_server_time_is_told_and_notified() -> None:
    """Clients watch ServerStatus.CurrentTime to see that the server lives."""

    async def scenario(lab: Lab) -> list[float]:
        peer = await lab.connect()
        await peer.subscribe(keep_alive=100)
        await peer.monitor(node_ids=["i=2258"])
        times = [plain(data_values(await peer.publish()))[-1] for _ in range(4)]
        return [(b - a).total_seconds() for a, b in itertools.pairwise(times)]

    assert play("corrected", scenario) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ((Tag("A"), Tag("A")), "unique"),
        ((Tag("A", data_type="Guid"),), "data_type 'Guid' is not one of"),
    ],
)
def test_signals_that_cannot_be_shown_are_refused(tags: tuple[Tag, ...], message: str) -> None:
    async def nothing(lab: Lab) -> None: ...

    with pytest.raises(ValueError, match=message):
        play("corrected", nothing, tags=tags)


def test_taken_port_says_what_to_do() -> None:
    async def main() -> None:
        first = OpcUaServer("127.0.0.1", 0, TAGS, endpoint_name="line1")
        await first.start()
        second = OpcUaServer("127.0.0.1", first.port, TAGS, endpoint_name="line2")
        with pytest.raises(
            OSError, match=r"cannot listen on opc\.tcp://127\.0\.0\.1.*another port"
        ) as caught:
            await second.start()
        assert caught.value.errno == errno.EADDRINUSE
        await first.stop()
        leftovers = {t.get_name() for t in asyncio.all_tasks() if t is not asyncio.current_task()}
        assert leftovers == set()

    asyncio.run(main())


def test_same_run_has_the_same_bytes() -> None:
    async def scenario(lab: Lab) -> str:
        peer = await lab.connect()
        await peer.subscribe()
        await peer.monitor(0, 1)
        for value in range(20):
            await lab.write(float(value))
            await asyncio.sleep(0.07)
        await peer.drain()
        return lab.network.trace_sha256()

    assert play("corrected", scenario) == play("corrected", scenario)
