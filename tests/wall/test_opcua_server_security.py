"""Basic256Sha256 SignAndEncrypt on real sockets, with application certificates that carry a URI as SAN."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shakedown.twin.servers.opcua import OpcUaSecurity, OpcUaServer
from tests.twin.opcua_rig import TAGS, Peer

pytestmark = pytest.mark.wall


def application_certificate(uri: str, *, days: int = 365) -> tuple[bytes, bytes]:
    """A self-signed application instance certificate (Part 6, 6.2.2) and its key, both PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, uri)])
    now = datetime.now(UTC) - timedelta(days=400)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=400 + days))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), x509.DNSName("localhost")]),
            False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.KeyUsage(True, True, True, True, False, False, False, False, False), True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private


async def secured(url: str, folder: Path, name: str, certificate: bytes, key: bytes, server: bytes) -> Client:
    for suffix, content in (("crt", certificate), ("key", key), ("server", server)):
        (folder / f"{name}.{suffix}.pem").write_bytes(content)
    client = Client(url, timeout=10)
    client.application_uri = f"urn:test:{name}"
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        str(folder / f"{name}.crt.pem"),
        str(folder / f"{name}.key.pem"),
        server_certificate=str(folder / f"{name}.server.pem"),
        mode=ua.MessageSecurityMode.SignAndEncrypt,
    )
    return client


class Collect:
    def __init__(self) -> None:
        self.arrived: asyncio.Queue[float] = asyncio.Queue()

    def datachange_notification(self, node: object, value: float, data: object) -> None:
        self.arrived.put_nowait(value)


def test_only_trusted_clients_are_served(tmp_path: Path) -> None:
    server_pair = application_certificate("urn:shakedown:line1")
    trusted, expired, stranger = (
        application_certificate("urn:test:trusted"),
        application_certificate("urn:test:expired", days=-1),
        application_certificate("urn:test:stranger"),
    )

    async def main() -> None:
        security = OpcUaSecurity(*server_pair, trusted=(trusted[0], expired[0]))
        server = OpcUaServer("127.0.0.1", 0, TAGS, endpoint_name="line1", security=security)
        await server.start()
        try:
            handler = Collect()
            client = await secured(server.url, tmp_path, "trusted", *trusted, server_pair[0])
            async with client:
                subscription = await client.create_subscription(50, handler)
                await server.publish(time.time_ns(), [(0, 1.25, 0)])
                await subscription.subscribe_data_change(client.get_node("ns=2;s=T0"))
                assert await asyncio.wait_for(handler.arrived.get(), 10) == 1.25
                assert (await client.get_node("ns=2;s=T0").read_data_value()).Value.Value == 1.25
            for name, pair in (("stranger", stranger), ("expired", expired)):
                refused = await secured(server.url, tmp_path, name, *pair, server_pair[0])
                with pytest.raises((ua.UaStatusCodeError, ConnectionError, TimeoutError)):
                    await refused.connect()
            clear = Peer(server.url)
            await clear.open()  # for discovery
            assert [e.SecurityMode.name for e in await clear.client.get_endpoints()] == ["SignAndEncrypt"]
            with pytest.raises(ua.uaerrors.BadSecurityPolicyRejected):
                await clear.session.create_session(ua.CreateSessionParameters(RequestedSessionTimeout=60_000))
            clear.kill()
            assert server.counters.sessions == 0
        finally:
            await server.stop()

    asyncio.run(main())
