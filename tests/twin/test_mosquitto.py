"""A Mosquitto of the lab's own, and brokers that others run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shakedown.twin.enterprise import mosquitto
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.enterprise.errors import LabServiceError
from shakedown.twin.enterprise.mosquitto import ForeignBroker, MosquittoBroker, mosquitto_missing
from tests.twin.mqtt_lab import ADDRESS, free_port
from tests.twin.mqtt_wire import PINGREQ, PINGRESP, WAIT_S, Client, packet, publish

pytestmark = pytest.mark.wall
needs_mosquitto = pytest.mark.skipif(bool(mosquitto_missing()), reason=mosquitto_missing() or "present")


async def connected(port: int, client_id: str, clean: bool = True) -> Client:
    client = await Client.dial(ADDRESS, port)
    assert await client.connect(client_id, clean=clean) == 0
    return client


@needs_mosquitto
def test_a_stop_keeps_sessions_and_a_crash_resets_connections(tmp_path: Path) -> None:
    async def main() -> None:
        broker = MosquittoBroker(ADDRESS, free_port(), tmp_path / "new folder")
        await broker.start()
        with pytest.raises(LabServiceError, match="running already"):
            await broker.start()
        client = await connected(broker.port, "a", clean=False)
        await client.subscribe(("t", 1))
        await broker.stop()
        assert await client.expect_end() == []
        await broker.stop()
        await broker.start()
        client = await connected(broker.port, "a", clean=False)
        assert client.session_present
        await broker.crash()
        assert await client.expect_end() == []
        with pytest.raises(ConnectionRefusedError):
            await Client.dial(ADDRESS, broker.port)
        with pytest.raises(LabServiceError, match="not running"):
            await broker.crash()

    asyncio.run(main())


@needs_mosquitto
def test_it_says_for_which_client_it_drops_messages(tmp_path: Path) -> None:
    async def main() -> None:
        broker = MosquittoBroker(ADDRESS, free_port(), tmp_path)
        await broker.start()
        try:
            assert broker.counters == {"dropped_for": []}
            slow = await connected(broker.port, "host-slow")
            await slow.subscribe(("t", 1))  # and acknowledges nothing
            fast = await connected(broker.port, "fast")
            fast.send(
                publish("t", b"x", 1) * (1_000 + 100_000 + 1), packet(PINGREQ)
            )  # in flight, queued, one more
            async with asyncio.timeout(60):
                while not (await fast.reader.read(1 << 16)).endswith(packet(PINGRESP)):
                    pass
        finally:
            await broker.stop()
        ((second, client),) = broker.counters["dropped_for"]
        assert (client, second > 1_700_000_000) == ("host-slow", True)

    asyncio.run(main())


@needs_mosquitto
def test_a_taken_port_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    async def main() -> None:
        other = EmbeddedBroker(ADDRESS, 0)
        await other.start()
        with pytest.raises(LabServiceError, match=r"ended with exit code .* choose another port"):
            await MosquittoBroker(ADDRESS, other.port, tmp_path).start()
        await other.stop()

    asyncio.run(main())


def test_an_absent_mosquitto_is_an_error_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(mosquitto, "_binary", lambda: None)

    async def main() -> None:
        with pytest.raises(LabServiceError, match="apt install mosquitto"):
            await MosquittoBroker(ADDRESS, 1, tmp_path).start()

    asyncio.run(main())


@needs_mosquitto
@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_no_mosquitto_outlives_a_killed_lab(tmp_path: Path) -> None:
    port = free_port()
    lab = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import asyncio, pathlib, sys\n"
            "from shakedown.twin.enterprise.mosquitto import MosquittoBroker\n"
            "async def main():\n"
            f"    await MosquittoBroker({ADDRESS!r}, {port}, pathlib.Path({str(tmp_path)!r})).start()\n"
            "    print('started', flush=True)\n"
            "    await asyncio.Event().wait()\n"
            "asyncio.run(main())\n",
        ],
        stdout=subprocess.PIPE,
    )
    with lab:
        assert lab.stdout is not None
        assert lab.stdout.readline() == b"started\n"

        async def killed() -> None:
            client = await connected(port, "a")
            os.kill(lab.pid, signal.SIGKILL)
            assert await client.expect_end() == []
            # A dying process closes one socket after the other; the listening one may be the last.
            async with asyncio.timeout(WAIT_S):
                with contextlib.suppress(ConnectionRefusedError):
                    while True:
                        with contextlib.suppress(ConnectionResetError):
                            (await Client.dial(ADDRESS, port)).cut()

        asyncio.run(killed())


def test_a_foreign_broker_is_checked_and_cannot_be_crashed() -> None:
    async def main() -> None:
        broker = EmbeddedBroker(ADDRESS, 0)
        await broker.start()
        foreign = ForeignBroker(ADDRESS, broker.port)
        await foreign.start()
        with pytest.raises(LabServiceError, match="cannot be crashed"):
            await foreign.crash()
        await foreign.stop()
        await broker.stop()
        with pytest.raises(LabServiceError, match=rf"{ADDRESS}:{broker.port} does not answer .*--broker"):
            await foreign.start()
        assert broker.counters.malformed == 0

    asyncio.run(main())


def test_what_is_no_broker_is_not_taken_for_one() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def main() -> None:
        port = free_port()
        async with await asyncio.start_server(answer, ADDRESS, port):
            with pytest.raises(LabServiceError, match="does not speak MQTT"):
                await ForeignBroker(ADDRESS, port).start()

    asyncio.run(main())
