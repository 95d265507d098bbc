"""A host that is held back: alive and silent, on both clocks, and in order when it goes on."""

import asyncio

import pytest

from shakedown.twin.clock import run
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.network.wire import WireNetwork

CLOCKS = ["virtual", pytest.param("wall", marks=pytest.mark.wall)]


async def frozen_server(network):
    """What a client hears of an echo, before, during and after its freeze, and what the server did in which order."""
    network.add_conduit("wan", ("site", "enterprise"))
    client, server = network.add_host("bridge", "site"), network.add_host("broker", "enterprise")
    done = []

    async def echo(reader, writer):
        while line := await reader.readline():
            done.append(line.strip().decode())
            writer.write(line)
        writer.close()

    async def ticks():
        for number in range(3):
            await asyncio.sleep(0.1)
            done.append(f"tick {number}")

    async def dial():
        return await asyncio.open_connection(*await network.route("bridge", "broker", 1883))

    async def heard(reader, within_s):
        try:
            async with asyncio.timeout(within_s):
                return (await reader.readline()).strip().decode()
        except TimeoutError:
            return "nothing"

    await network.start()
    try:
        listening = await server.spawn(
            asyncio.start_server(echo, *await network.listen_address("broker", 1883))
        )
        reader, writer = await client.spawn(dial())
        writer.write(b"before\n")
        told = [await heard(reader, 5)]
        server.freeze()
        server.freeze()  # once is enough
        ticking = server.spawn(ticks())
        writer.write(b"during\n")
        told.append(await heard(reader, 0.5))
        late_reader, late_writer = await client.spawn(dial())  # the kernel takes it
        late_writer.write(b"late\n")
        told.append(await heard(late_reader, 0.2))
        during = list(done)
        server.thaw()
        server.thaw()
        told += [await heard(reader, 5), await heard(late_reader, 5)]
        await ticking
        for one in (writer, late_writer):
            one.close()
        listening.close()
        return told, during, done
    finally:
        await network.close()


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_frozen_host_keeps_its_connections_and_says_nothing(clock):
    network = MemoryNetwork() if clock == "virtual" else WireNetwork("builtin")
    told, during, done = run(frozen_server(network), clock=clock)
    assert told == ["before", "nothing", "nothing", "during", "late"]
    assert during == ["before"]
    assert [what for what in done if what.startswith("tick")] == ["tick 0", "tick 1", "tick 2"]


def test_what_was_held_back_runs_in_its_order():
    async def main():
        network = MemoryNetwork()
        with network:
            host, other = network.add_host("plc1", "cell"), network.add_host("plc2", "cell")
            done, loop = [], asyncio.get_running_loop()
            host.freeze()
            for number in range(5):
                loop.call_later(0.5 - number / 10, done.append, number, context=host.context)
            other.spawn(asyncio.sleep(0))
            await asyncio.sleep(1)
            before = list(done)
            host.thaw()
            await asyncio.sleep(0)
            return before, done

    assert run(main()) == ([], [4, 3, 2, 1, 0])


def test_a_cancelled_task_of_a_frozen_host_ends_when_it_thaws():
    async def main():
        network = MemoryNetwork()
        with network:
            host = network.add_host("plc1", "cell")
            task = host.spawn(asyncio.sleep(10))
            await asyncio.sleep(0.1)
            host.freeze()
            task.cancel()
            await asyncio.sleep(20)
            before = task.done()
            host.thaw()
            await asyncio.wait((task,))
            return before, task.cancelled()

    assert run(main()) == (False, True)
