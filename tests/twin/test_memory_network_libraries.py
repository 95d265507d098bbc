"""asyncua, amqtt and paho, unmodified, over the network in memory."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import aiomqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shakedown.twin.clock import now_ns, run
from shakedown.twin.network.memory import MemoryNetwork

TRAFFIC = Path(__file__).with_name("memory_traffic.py")


@pytest.fixture(scope="module")
def traffic() -> ModuleType:
    """tests/twin/memory_traffic.py, which is also a script."""
    spec = importlib.util.spec_from_file_location("memory_traffic", TRAFFIC)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["memory_traffic"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """The libraries report every cut at length."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
def test_a_virtual_half_hour_with_a_stall_and_a_clean_cut(traffic: ModuleType) -> None:
    async def main() -> Any:
        async with traffic.plant_at_work(period_s=4.0) as plant:
            wan, cell = plant.network.conduit("wan"), plant.network.conduit("cell")
            await asyncio.sleep(600)
            assert plant.reconnects == 0
            await wan.stall()
            await asyncio.sleep(2)
            await wan.heal()
            await asyncio.sleep(300)
            assert plant.reconnects == 0  # a stall of two seconds breaks nothing
            assert len(plant.messages) >= len(plant.changes) - traffic.SIGNALS
            await wan.down()
            await asyncio.sleep(180)
            before_ns, silent = now_ns(), len(plant.messages)
            await wan.heal()
            await asyncio.sleep(120)
            assert plant.messages[silent][0] - before_ns < 10 * 10**9
            assert plant.reconnects >= 1
            await cell.down()
            await asyncio.sleep(60)
            await cell.heal()
            await asyncio.sleep(1800 - 1262)
            return plant

    plant = run(main())
    assert plant.wrong_hosts == []
    # all but the cut of the cell, and the publish under way when wan went down
    assert len(plant.changes) > (1800 - 90) / 4 * traffic.SIGNALS
    lost_at_wan = len(plant.changes) - len(plant.messages)
    assert 0 <= lost_at_wan <= 3
    for name in {change[1] for change in plant.changes}:
        values = [value for _, signal, value in plant.changes if signal == name]
        assert values == sorted(values)


@pytest.mark.slow
def test_equal_bytes_in_every_process_and_for_every_hash_seed() -> None:
    printed = set()
    for hash_seed in ("0", "1234"):
        done = subprocess.run(
            [sys.executable, str(TRAFFIC)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONSAFEPATH": "1"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        printed.add(done.stdout)
    assert len(printed) == 1, printed
    assert len(printed.pop().split()[0]) == 64


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate, valid by the real clock, which OpenSSL goes by."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2099, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate_file, key_file


@pytest.mark.slow
def test_mqtt_over_tls_and_the_trace_is_of_the_plaintext(traffic: ModuleType, tmp_path: Path) -> None:
    async def main(certificate: Path, key: Path) -> tuple[int, str]:
        client_tls = ssl.create_default_context(cafile=str(certificate))
        server_tls = {"ssl": True, "certfile": str(certificate), "keyfile": str(key)}
        async with traffic.plant_at_work(server_tls=server_tls, client_tls=client_tls) as plant:
            await asyncio.sleep(30)
            return len(plant.messages), plant.network.trace_sha256()

    count, trace = run(main(*_certificate(tmp_path, "broker")))
    assert count > 20 * traffic.SIGNALS
    assert run(main(*_certificate(tmp_path, "broker"))) == (count, trace)  # other keys, equal plaintext


def test_a_certificate_that_is_not_trusted_is_refused(traffic: ModuleType, tmp_path: Path) -> None:
    good, good_key = _certificate(tmp_path, "broker")
    other, _ = _certificate(tmp_path, "other")

    async def main() -> None:
        with MemoryNetwork() as network:
            network.add_host("broker", "enterprise")
            bridge = network.add_host("bridge", "enterprise")
            tls = {"ssl": True, "certfile": str(good), "keyfile": str(good_key)}
            plant = traffic.Plant(network)
            serving = network.host("broker").spawn(traffic.serve_broker(plant, tls))
            await asyncio.sleep(1)

            async def connect() -> None:
                context = ssl.create_default_context(cafile=str(other))
                async with aiomqtt.Client("broker", tls_context=context):
                    pytest.fail("connected to a broker that is not trusted")

            with pytest.raises(aiomqtt.MqttError):
                await bridge.spawn(connect())
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    run(main())


def test_mutual_tls_over_streams(tmp_path: Path) -> None:
    server_files, client_files = _certificate(tmp_path, "plc"), _certificate(tmp_path, "bridge")

    async def main() -> None:
        accepting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(client_files[0]))
        accepting.load_cert_chain(*server_files)
        accepting.verify_mode = ssl.CERT_REQUIRED
        connecting = ssl.create_default_context(cafile=str(server_files[0]))
        stranger = ssl.create_default_context(cafile=str(server_files[0]))
        connecting.load_cert_chain(*client_files)

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            subject = writer.get_extra_info("peercert")["subject"]
            assert (("commonName", "bridge"),) in subject
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()

        with MemoryNetwork() as network:
            plc, bridge = network.add_host("plc", "cell"), network.add_host("bridge", "cell")
            await plc.spawn(asyncio.start_server(echo, "plc", 1, ssl=accepting))
            reader, writer = await bridge.spawn(asyncio.open_connection("plc", 1, ssl=connecting))
            data = bytes(range(256)) * 4000
            writing = asyncio.create_task(_write_all(writer, data))
            assert await reader.readexactly(len(data)) == data
            await writing
            writer.close()
            await writer.wait_closed()
            assert network.cable("plc").counters.bytes_up == len(data)  # the plaintext's size, not TLS's

            reader, writer = await bridge.spawn(asyncio.open_connection("plc", 1, ssl=stranger))
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)  # TLS 1.3 tells a client only now that it is refused

    run(main())


async def _write_all(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
