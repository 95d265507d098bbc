"""What is the wire network's own: addresses, processes, and the distrust of what was asked for and did not happen."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
import requests

from shakedown.twin.network import wire_toxiproxy
from shakedown.twin.network.errors import NetworkError, NetworkFault
from shakedown.twin.network.wire import WireNetwork
from shakedown.twin.network.wire_addresses import LoopbackAddresses
from shakedown.twin.network.wire_toxiproxy import ToxicSpec, ToxiproxyClient, ToxiproxyProcess
from tests.twin.network_rows import PORT, Lab, lab


def play(scene: Callable[[Lab, WireNetwork], Awaitable[None]], network: WireNetwork | None = None) -> None:
    async def main() -> None:
        net = network or WireNetwork("builtin")
        async with lab(net, on_the_wall=True) as made:
            await scene(made, net)

    asyncio.run(main())


def test_every_host_has_its_own_address_and_the_server_its_own_port() -> None:
    async def scene(made: Lab, network: WireNetwork) -> None:
        host, port = await network.listen_address("broker", PORT)
        routed, _ = await network.route("bridge", "broker", PORT)
        assert (host != routed, port) == (True, PORT)
        assert await network.route("bridge", "broker", PORT) == await network.route("bridge", "broker", PORT)

    play(scene)


def test_with_one_loopback_address_the_hosts_differ_in_ports() -> None:
    async def scene(made: Lab, network: WireNetwork) -> None:
        listening, routed = (
            await network.listen_address("broker", PORT),
            await network.route("bridge", "broker", PORT),
        )
        assert {listening[0], routed[0]} == {"127.0.0.1"}
        assert len({listening[1], routed[1], PORT}) == 3
        near, far = await made.pair()
        await made.wan.stall()
        assert await made.carries(near, far) == "neither"

    play(scene, WireNetwork("builtin", one_address=True))


def test_two_networks_do_not_share_addresses() -> None:
    one, other = LoopbackAddresses(), LoopbackAddresses()
    try:
        first = one.of_host("a")
        assert other.of_host("a") != first
        assert one.of_host("b") != first == one.of_host("a")
    finally:
        one.close()
        other.close()


def test_a_port_that_is_taken_gives_way_to_a_free_one() -> None:
    async def scene(made: Lab, network: WireNetwork) -> None:
        first = await network.listen_address("clerk", 4840)
        server = await asyncio.start_server(lambda r, w: None, *first)
        network._listening.clear()
        second = await network.listen_address("clerk", 4840)
        assert second != first
        server.close()
        (await asyncio.start_server(lambda r, w: None, *second)).close()

    play(scene)


def test_inside_one_host_there_is_no_proxy() -> None:
    async def scene(made: Lab, network: WireNetwork) -> None:
        assert await network.route("broker", "broker", PORT) == await network.listen_address("broker", PORT)

    play(scene)


def test_before_the_start_there_are_no_addresses() -> None:
    network = WireNetwork("builtin")
    network.add_host("bridge", "site")
    with pytest.raises(NetworkFault, match="not started"):
        asyncio.run(network.listen_address("bridge", 1))


def test_a_fault_that_somebody_else_took_away_is_a_network_fault() -> None:
    async def scene(made: Lab, network: WireNetwork) -> None:
        await made.pair()
        await made.wan.blackhole()
        (fault, *_) = await made.wan.read_back()
        assert network.process is not None
        url = f"{network.process.url}/proxies/{fault['proxies'][0]}/toxics/{fault['toxic']['name']}"
        assert (await asyncio.to_thread(requests.delete, url, timeout=10)).status_code == 204
        with pytest.raises(NetworkFault, match="should have toxics"):
            await made.wan.read_back()

    play(scene)


def test_a_misspelled_attribute_is_a_network_fault() -> None:
    async def scene(made: Lab, network: WireNetwork) -> None:
        await made.pair()
        (route,) = network._routes.values()
        wrong = ToxicSpec("t", "latency", "upstream", {"latencyy": 100})
        with pytest.raises(NetworkFault, match="reads back"):
            await asyncio.to_thread(network.client.apply, route.proxy, [wrong], enabled=True)

    play(scene)


def test_a_proxy_that_cannot_listen_again_is_a_network_fault() -> None:
    async def scene(made: Lab, network: WireNetwork) -> None:
        await made.pair()
        address = await network.route("bridge", "broker", PORT)
        await made.wan.down()
        squatter = await asyncio.start_server(lambda r, w: None, *address)
        with pytest.raises(NetworkFault, match="address already in use"):
            await made.wan.heal()
        squatter.close()

    if shutil.which("toxiproxy-server") is None:
        pytest.skip("toxiproxy-server not on PATH")
    play(scene, WireNetwork())  # the built-in one keeps its port, so only Shopify's can lose it


def test_a_server_that_died_is_a_network_fault() -> None:
    async def scene(made: Lab, network: WireNetwork) -> None:
        await made.pair()
        assert network.process is not None
        os.kill(network.process.pid, signal.SIGKILL)
        with pytest.raises(NetworkFault, match="no Toxiproxy server answers"):
            await made.wan.stall()
        seen.append("stall")

    seen: list[str] = []
    with pytest.raises(
        NetworkFault, match="no Toxiproxy server answers"
    ):  # closing says it again, and still frees everything
        play(scene)
    assert seen == ["stall"]


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("http://192.168.1.1:8474", "only loopback"),
        ("http://127.0.0.1:1", "start it, or give another address"),
    ],
)
def test_a_server_that_cannot_be_used_is_explained(url: str, remedy: str) -> None:
    with pytest.raises(NetworkFault, match=remedy):
        asyncio.run(WireNetwork(url).start())


def test_what_is_not_a_toxiproxy_server_is_explained() -> None:
    async def main() -> None:
        async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NetworkFault, match="not the answer of a Toxiproxy 2 server"):
            await WireNetwork(f"http://127.0.0.1:{port}").start()
        server.close()

    asyncio.run(main())


@pytest.mark.parametrize("choice", ["builtin", None])
def test_close_leaves_no_process(choice: str | None) -> None:
    pids: list[int] = []

    async def scene(made: Lab, network: WireNetwork) -> None:
        assert network.process is not None
        pids.append(network.process.pid)
        assert psutil.pid_exists(pids[0])

    play(scene, WireNetwork(choice))
    assert not psutil.pid_exists(pids[0])


def test_the_last_counters_outlive_the_network() -> None:
    kept: list[Lab] = []

    async def scene(made: Lab, network: WireNetwork) -> None:
        await made.pair()
        kept.append(made)

    play(scene)
    assert kept[0].wan.counters.connections == 1


def test_a_foreign_server_is_left_as_it_was() -> None:
    process = ToxiproxyProcess(None)
    try:
        client = process.wait()

        async def scene(made: Lab, network: WireNetwork) -> None:
            await made.pair()
            assert network.process is None

        play(scene, WireNetwork(process.url))
        assert requests.get(f"{process.url}/proxies", timeout=10).json() == {}
        client.close()
    finally:
        process.close()


@pytest.mark.skipif(sys.platform != "linux", reason="who is told of a dead parent differs")
@pytest.mark.parametrize("program", ["builtin", "toxiproxy-server"])
def test_the_server_ends_with_a_killed_parent(program: str) -> None:
    on_path = shutil.which("toxiproxy-server")
    if program != "builtin" and (on_path is None or shutil.which("setpriv") is None):
        pytest.skip("toxiproxy-server not on PATH")
    code = (
        "from pathlib import Path; import sys, time\n"
        "from shakedown.twin.network.wire_toxiproxy import ToxiproxyProcess\n"
        f"process = ToxiproxyProcess({None if program == 'builtin' else f'Path({on_path!r})'})\n"
        "process.wait(); print(process.pid, flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as parent:  # type: ignore[call-overload]
        server = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        server.wait(10)


def test_a_direction_or_a_number_that_is_none_is_refused() -> None:
    async def scene(made: Lab, network: WireNetwork) -> None:
        with pytest.raises(ValueError, match="up, down or both"):
            await made.wan.stall("sideways")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="not below 0"):
            await made.wan.latency(-1)
        with pytest.raises(NetworkError, match="no conduit"):
            await network.route("plc", "clerk", PORT)
        with pytest.raises(NetworkFault, match="proxy not found"):
            await asyncio.to_thread(network.client.show, "nobody")

    play(scene)


def test_two_servers_are_told_apart() -> None:
    """toxiproxy-python keeps one address for the whole process."""
    processes = [ToxiproxyProcess(None), ToxiproxyProcess(None)]
    try:
        one, other = (process.wait() for process in processes)
        one.create("here", "127.0.0.1:0", "127.0.0.1:9")
        assert one.show("here")["name"] == "here"
        with pytest.raises(NetworkFault, match="proxy not found"):
            other.show("here")
        for client in (one, other):
            assert isinstance(client, ToxiproxyClient)
            client.close()
    finally:
        for process in processes:
            process.close()


def test_the_program_is_looked_for_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    seen: list[bool] = []

    async def scene(made: Lab, network: WireNetwork) -> None:
        seen.append(network.client.is_ours)

    play(scene, WireNetwork())
    assert seen == [True]


@pytest.mark.parametrize("fault", ["unplugged", "stalled"])
def test_what_is_held_for_a_peer_that_has_gone_does_not_block_the_server(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shopify's server waits 5 s for each chunk that it would pass on under a toxic that is removed."""
    if shutil.which("toxiproxy-server") is None:
        pytest.skip("toxiproxy-server not on PATH")
    monkeypatch.setattr(wire_toxiproxy, "HTTP_TIMEOUT_S", 3.0)

    async def scene(made: Lab, network: WireNetwork) -> None:
        near, far = await made.pair()
        bridge = network.host("bridge")
        if fault == "unplugged":
            bridge.unplug()
        else:
            await made.wan.stall()
        await near.send(b"held, so that the other end hears of no end")
        far.writer.write(bytes(1 << 20))
        await far.hears_now()  # the proxy reads what it was sent
        near.writer.transport.abort()
        if fault == "unplugged":
            bridge.plug()
        else:
            await made.wan.heal()
        await made.pair()
        assert await made.wan.read_back() == []

    play(scene, WireNetwork())
