"""asyncua's server with the corrections of this package wired in, for our own instances only.

Nothing of asyncua is changed in place: each part is a subclass, and the classes here are the ones that put them
together. What is corrected, and how upstream would see it, is told in docs/upstream.md.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol

from shakedown.twin.servers import standard_nodes
from shakedown.twin.servers.bounded_server import BoundedServer
from shakedown.twin.servers.history import RawHistory
from shakedown.twin.servers.limits import OpcUaCounters, OpcUaLimits
from shakedown.twin.servers.processor import Processor
from shakedown.twin.servers.session import Session
from shakedown.twin.servers.subscription_service import SubscriptionService
from shakedown.twin.servers.users import Users, decrypted

_CORRECTS = "2.1."


def require_corrected_version(installed: str | None = None) -> None:
    """Fail unless the installed asyncua is the one that the corrections were written and tested for."""
    installed = installed or version("asyncua")
    if not installed.startswith(_CORRECTS):
        raise RuntimeError(
            f"asyncua {installed} is installed, but the corrections in twin/servers are for {_CORRECTS}x: "
            f"install asyncua>=2.1,<2.2, or run tests/twin/test_opcua_server_*.py against the new version, drop what "
            f"upstream has mended and change this guard"
        )


class CorrectedInternalServer(BoundedServer):
    """asyncua's InternalServer with our sessions, subscriptions and history."""

    subscription_service: SubscriptionService
    history_manager: RawHistory

    def __init__(self, limits: OpcUaLimits, counters: OpcUaCounters) -> None:
        require_corrected_version()
        super().__init__()
        self.limits = limits
        self.counters = counters
        self._session_counter = 0
        self._clock: asyncio.Task[None] | None = None
        self.allow_remote_admin = False
        self.disabled_clock = True  # ours, in start()
        self.max_connections = limits.connections
        self.max_pending_activation_seconds = limits.activation_timeout_s
        self.min_session_timeout_ms = limits.session_timeout_s_min * 1000
        self.max_session_timeout_ms = limits.session_timeout_s_max * 1000
        self.subscription_service = SubscriptionService(self)
        self.isession.subscription_service = self.subscription_service
        self.history_manager = RawHistory(self)

    def create_session(self, name: str, user: User | None = None, external: bool = False) -> Session:
        """A client's session, numbered per server; BadTooManySessions at the limit."""
        if len(self._external_sessions) >= self.limits.sessions:
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        self._session_counter += 1
        return Session(self, name, self._session_counter, user or User(role=UserRole.Anonymous))

    def decrypt_user_token(self, isession: Any, token: ua.UserNameIdentityToken) -> tuple[str, str]:
        """Name and password; where there are users, only as `users.decrypted` takes them."""
        if isinstance(self.user_manager, Users):
            return decrypted(self.private_key, token, isession.nonce)
        return super().decrypt_user_token(isession, token)

    def count(self) -> OpcUaCounters:
        """The counters, those that are states brought up to date."""
        self.counters.sessions = len(self._external_sessions)
        subscriptions = self.subscription_service.subscriptions.values()
        self.counters.subscriptions = len(subscriptions)
        self.counters.waiting = sum(subscription.waiting for subscription in subscriptions)
        return self.counters

    async def load_standard_address_space(self, shelf_file: Path | None = None) -> None:
        """The standard nodes, copied; a shelf is of no use then."""
        standard_nodes.fill(self.aspace)

    async def start(self) -> None:
        """Start, with the clock in a task that can be cancelled."""
        await super().start()
        self._clock = asyncio.create_task(self._tell_time(), name="opcua server time")

    async def stop(self) -> None:
        """Stop; sessions and subscriptions end too, which asyncua leaves running."""
        clock = self._clock
        self.end_tasks()
        if clock is not None:
            await asyncio.wait([clock])
        for session in list(self._external_sessions.values()):
            await session.close_session(True)
        await super().stop()

    def end_tasks(self) -> None:
        """Cancel every task of the server's own, without a word to anybody."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        for subscription in list(self.subscription_service.subscriptions.values()):
            subscription.close()
        self.subscription_service.subscriptions.clear()
        for session in self._external_sessions.values():
            if session._timeout_task is not None:
                session._timeout_task.cancel()

    async def _tell_time(self) -> None:
        """Keep ServerStatus.CurrentTime (Part 5, 6.3.1) up to date once a second, cheaply while nobody watches."""
        node = self.aspace[self.current_time_node.nodeid].attributes[ua.AttributeIds.Value]
        status = self.aspace[self.server_status_node.nodeid].attributes[ua.AttributeIds.Value]
        while True:
            now = datetime.now(UTC)
            if status.value is not None and status.value.Value is not None:
                status.value.Value.Value.CurrentTime = now
            value = ua.DataValue(
                ua.Variant(now, ua.VariantType.DateTime), SourceTimestamp=now, ServerTimestamp=now
            )
            node.value = value
            for handle, callback in list(node.datachange_callbacks.items()):
                callback(handle, value)
            await asyncio.sleep(1)


class CorrectedProtocol(OPCUAProtocol):
    """A connection with bounded memory in both directions, whatever the peer sends or does not read."""

    processor: Processor | None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept, with our processor."""
        self._writable = asyncio.Event()
        self._writable.set()
        super().connection_made(transport)
        if self.transport is not None:
            self.processor = Processor(self.iserver, self.transport, self.limits)
            self.processor.set_policies(self.policies)

    def data_received(self, data: bytes) -> None:
        """A chunk above the negotiated size is refused by its header (Part 6, 7.1.2), before it is buffered."""
        super().data_received(data)
        if self.transport is not None and len(self._buffer) > self.limits.max_recv_buffer:
            self.transport.abort()

    def pause_writing(self) -> None:
        """The peer does not read: serve nothing more; its requests fill the inbound queue, and that is bounded."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._writable.set()

    async def _process_one_msg(self, header: Any, buf: Any) -> bool:
        await self._writable.wait()
        return await super()._process_one_msg(header, buf)


class CorrectedBinaryServer(BinaryServer):
    """The listening socket."""

    def _make_protocol(self) -> CorrectedProtocol:
        return CorrectedProtocol(
            iserver=self.iserver,
            policies=self._policies,
            clients=self.clients,
            closing_tasks=self.closing_tasks,
            limits=self.limits,
        )

    def crash(self) -> None:
        """Cut everything off at once: no goodbye, no task left."""
        if self._server is not None:
            self._server.close()
        if self.cleanup_task is not None:
            self.cleanup_task.cancel()
        for protocol in list(self.clients):
            if protocol.transport is not None:
                protocol.transport.abort()


class CorrectedServer(Server):
    """asyncua's Server made of the parts above."""

    iserver: CorrectedInternalServer
    bserver: CorrectedBinaryServer | None

    def __init__(self, limits: OpcUaLimits, counters: OpcUaCounters) -> None:
        super().__init__(CorrectedInternalServer(limits, counters))

    async def start(self) -> None:
        """Listen; OSError if the port is taken."""
        await self._setup_server_nodes()
        for endpoint in self.iserver.endpoints:
            for policy in endpoint.UserIdentityTokens:
                if policy.TokenType == ua.UserTokenType.UserName and endpoint.ServerCertificate:
                    policy.SecurityPolicyUri = (
                        endpoint.SecurityPolicyUri
                    )  # asyncua: none, the password goes as it is
        host, port = self._get_bind_socket_info()
        self.bserver = CorrectedBinaryServer(self.iserver, host, port, self.limits)
        self.bserver.set_policies(self._policies)
        await self.bserver.start()
        await self.iserver.start()

    def crash(self) -> None:
        """Die: no message, no orderly close, nothing left running."""
        if self.bserver is not None:
            self.bserver.crash()
        self.iserver.end_tasks()
