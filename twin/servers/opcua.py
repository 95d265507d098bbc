"""What a line shows to the world: an OPC UA server on asyncua, with the corrections of this package."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

import msgspec
from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto import uacrypto
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shakedown.twin.servers import address_space, encoding, methods
from shakedown.twin.servers.corrected import CorrectedServer
from shakedown.twin.servers.limits import OpcUaCounters, OpcUaLimits
from shakedown.twin.servers.methods import Method
from shakedown.twin.servers.tag import Signal, TagValue
from shakedown.twin.servers.users import Users

Change = tuple[int, Any, int]
"""`(signal_index, value, status)`; value None is sent as no value, status is the whole OPC UA StatusCode."""


@dataclass(frozen=True, slots=True)
class OpcUaSecurity:
    """Basic256Sha256, SignAndEncrypt: PEM bytes of our certificate and key, and of every client that is trusted.

    With `users`, name to password, nobody is anonymous.
    """

    certificate: bytes
    private_key: bytes
    trusted: tuple[bytes, ...]
    users: Mapping[str, str] | None = None


class OpcUaServer:
    """The OPC UA server of a line: `opc.tcp://<host>:<port>/<endpoint_name>`.

    The tags and their raw history belong to this object and not to the running server: `publish` goes on while it is
    down, and after `crash` or `stop` it may be started again, as a PLC whose OPC UA server was restarted.

    ValueError for a signal whose type, NodeId or name cannot be shown; OSError from `start` if the port is taken.
    """

    def __init__(
        self,
        host: str,
        port: int,
        signals: Sequence[Signal],
        *,
        endpoint_name: str,
        limits: OpcUaLimits | None = None,
        security: OpcUaSecurity | None = None,
        methods: Sequence[Method] = (),
    ) -> None:
        self.host = host
        self.port = port
        self.endpoint_name = endpoint_name
        self.limits = limits or OpcUaLimits()
        self.security = security
        self.methods = tuple(methods)
        self.tags = tuple(TagValue(signal, self.limits.history_values_per_node) for signal in signals)
        self._counters = OpcUaCounters()
        self._server: CorrectedServer | None = None

    @property
    def url(self) -> str:
        """The endpoint's URL."""
        return f"opc.tcp://{self.host}:{self.port}/{self.endpoint_name}"

    @property
    def counters(self) -> OpcUaCounters:
        """What became of every value, over all starts."""
        found = replace(self._counters, sessions=0, subscriptions=0, waiting=0)
        if self._server is not None:
            found = self._server.iserver.count()
        return replace(found, shown=found.shown + sum(tag.shown for tag in self.tags))

    @property
    def held(self) -> dict[str, int]:
        """How many values each node has had, over all starts, by NodeId."""
        return {tag.signal.node_id: tag.held for tag in self.tags}

    @property
    def remembered(self) -> dict[str, tuple[int, int]]:
        """By NodeId how many values its history holds, and their checksum: CRC-32 of [[value, status], ...] as JSON."""
        found = {}
        for tag in self.tags:
            shown = msgspec.json.encode([(sample.value, sample.status) for sample in tag.history])
            found[tag.signal.node_id] = len(tag.history), crc32(shown)
        return found

    async def start(self) -> None:
        """Build the address space and listen; `port` 0 becomes the port that was found."""
        if self._server is not None:
            raise RuntimeError(f"{self.url} is running already: stop() it first")
        server = CorrectedServer(self.limits, self._counters)
        server.name = self.endpoint_name
        server.set_endpoint(self.url)
        await server.init()
        uri = f"urn:shakedown:{self.endpoint_name}"
        await server.set_application_uri(uri)
        index = await server.register_namespace(f"{uri}:plant")
        assert index == address_space.NAMESPACE_INDEX
        await self._announce_limits(server)
        address_space.build(server.iserver, self.endpoint_name, self.tags)
        methods.build(server.iserver, self.endpoint_name, self.methods)
        if self.security is None:
            server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        else:
            await self._secure(server, self.security)
        try:
            await server.start()
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot listen on {self.url}: {error.strerror}; choose another port or end its owner",
            ) from error
        assert server.bserver is not None
        self.port = server.bserver.port
        self._server = server

    async def _announce_limits(self, server: CorrectedServer) -> None:
        """OperationLimits (Part 5, 6.3.11) as they are enforced."""
        names = ("Read", "Write", "Browse", "MethodCall", "TranslateBrowsePathsToNodeIds", "HistoryReadData")
        for name in (*(f"MaxNodesPer{n}" for n in names), "MaxMonitoredItemsPerCall"):
            node = server.get_node(
                ua.NodeId(getattr(ua.ObjectIds, f"Server_ServerCapabilities_OperationLimits_{name}"))
            )
            await node.write_value(ua.Variant(self.limits.operations_per_call, ua.VariantType.UInt32))

    @staticmethod
    async def _secure(server: CorrectedServer, security: OpcUaSecurity) -> None:
        trusted = {x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER) for pem in security.trusted}

        async def validate(certificate: x509.Certificate, _: ua.ApplicationDescription) -> None:
            """Only clients on the list (Part 4, 6.1.3), and only while their certificate is valid."""
            if certificate.public_bytes(Encoding.DER) not in trusted:
                server.iserver.counters.refused_certificates += 1
                raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)
            now = datetime.now(UTC)
            if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
                server.iserver.counters.refused_certificates += 1
                raise ServiceError(ua.StatusCodes.BadCertificateTimeInvalid)

        server.iserver.certificate = x509.load_pem_x509_certificate(security.certificate)
        server.iserver.private_key = await uacrypto.load_private_key(security.private_key, None, "pem")
        server.iserver.certificate_validator = validate
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
        if security.users is not None:
            server.iserver.set_user_manager(Users(security.users))
            server.set_identity_tokens([ua.UserNameIdentityToken])

    async def publish(self, source_ts_ns: int, changes: Iterable[Change]) -> None:
        """Offer one scan: every change into its node, its history and the queues of whoever monitors it."""
        now_ns = time.time_ns()
        source_ticks, server_ticks = encoding.ticks(source_ts_ns), encoding.ticks(now_ns)
        tags = self.tags
        offered = 0
        for index, value, status in changes:
            tags[index].offer(value, status, source_ticks, server_ticks, now_ns)
            offered += 1
        self._counters.offered += offered

    async def stop(self) -> None:
        """Close every session and stop listening."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()
            self._forget_items()

    async def crash(self) -> None:
        """Die at once: no message to anybody, sessions and subscriptions gone; tags and history stay."""
        server, self._server = self._server, None
        if server is not None:
            server.crash()
            self._forget_items()

    def _forget_items(self) -> None:
        for tag in self.tags:
            tag.datachange_callbacks.clear()
