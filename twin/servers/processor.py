"""The services of one connection: what asyncua's UaProcessor does otherwise than Part 4 says."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from asyncua import ua
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import Buffer, ServiceError
from asyncua.server.internal_session import SessionState
from asyncua.server.uaprocessor import PublishRequestData, UaProcessor
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary

from shakedown.twin.servers import encoding
from shakedown.twin.servers.bounded_server import BoundedServer
from shakedown.twin.servers.session import Session, identity_of

_CALL = ua.FourByteNodeId(ua.ObjectIds.CallRequest_Encoding_DefaultBinary)


class Processor(UaProcessor):
    """Answers the requests of one connection."""

    iserver: BoundedServer
    session: Session | None

    def __init__(self, internal_server: BoundedServer, transport: Any, limits: TransportLimits) -> None:
        super().__init__(internal_server, transport, limits)
        self._calls: set[asyncio.Task[Any]] = set()
        self._handlers = {
            ua.ObjectIds.PublishRequest_Encoding_DefaultBinary: self._publish,
            ua.ObjectIds.RepublishRequest_Encoding_DefaultBinary: self._republish,
        }

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._transport.is_closing()

    def abort(self) -> None:
        """Close the connection without a word."""
        self._transport.abort()

    def send_encoded(self, request_id: int, body: bytes) -> None:
        """Send an encoded response."""
        self._transport.write(self._connection.message_to_binary(body, request_id=request_id))

    def send_fault(self, request_header: ua.RequestHeader, sequence_header: Any, status: int) -> None:
        """Send a ServiceFault."""
        response = ua.ServiceFault()
        response.ResponseHeader.ServiceResult = ua.StatusCode(status)
        self.send_response(request_header.RequestHandle, sequence_header, response)

    async def process_message(self, seqhdr: Any, body: Buffer) -> Any:
        """Let a method call run beside what follows it: requests of a connection are independent (Part 4, 5.12.2)."""
        if (
            nodeid_from_binary(body.copy()) == _CALL
            and len(self._calls) < self.iserver.limits.calls_in_flight
        ):
            call = asyncio.create_task(super().process_message(seqhdr, body), name="opcua method call")
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            return True
        return await super().process_message(seqhdr, body)

    async def _process_message(self, typeid: ua.NodeId, requesthdr: Any, seqhdr: Any, body: Buffer) -> Any:
        if typeid.NamespaceIndex == 0:
            handler = self._handlers.get(typeid.Identifier)
            if handler is not None:
                handler(self._active_session(typeid, body), requesthdr, seqhdr, body)
                return True
            if typeid.Identifier == ua.ObjectIds.ActivateSessionRequest_Encoding_DefaultBinary:
                self._activate_session(requesthdr, seqhdr, body)
                return True
            if typeid.Identifier == ua.ObjectIds.CreateSessionRequest_Encoding_DefaultBinary:
                return await self._create_session(typeid, requesthdr, seqhdr, body)
        return await super()._process_message(typeid, requesthdr, seqhdr, body)

    def _active_session(self, typeid: ua.NodeId, body: Buffer) -> Session:
        """What asyncua checks before every service that needs a session."""
        session = self.session
        if session is None:
            raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        if session.state is SessionState.Closed:
            raise ServiceError(ua.StatusCodes.BadSessionClosed)
        if not session.is_activated():
            raise ServiceError(ua.StatusCodes.BadSessionNotActivated)
        permissions = self._connection.security_policy.permissions
        if permissions is not None and permissions.check_validity(session.user, typeid, body) is False:
            raise ServiceError(ua.StatusCodes.BadUserAccessDenied)
        self.session_last_activity = time.monotonic()
        session.touch()
        return session

    # -- 5.7 Session Service Set ----------------------------------------------------------------------------------

    async def _create_session(self, typeid: ua.NodeId, requesthdr: Any, seqhdr: Any, body: Buffer) -> Any:
        """CreateSession (5.7.2), bounded; one session per connection."""
        self._require_offered_security()
        if self.session is not None and self.session.state is not SessionState.Closed:
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        try:
            answered = await super()._process_message(typeid, requesthdr, seqhdr, body)
        except Exception:
            # asyncua registers the session before it looks at the client: one that is refused must not stay.
            if self.session is not None:
                await self.session.close_session(True)
            self.session = None
            raise
        assert self.session is not None
        self.session.attach(self)
        return answered

    def _require_offered_security(self) -> None:
        """A channel in the clear is for discovery (Part 4, 5.5.2.1); asyncua lets it have sessions too."""
        policy = self._connection.security_policy
        for endpoint in self.iserver.endpoints:
            if endpoint.SecurityPolicyUri == policy.URI and endpoint.SecurityMode == policy.Mode:
                return
        self.iserver.counters.refused_in_clear += 1
        raise ServiceError(ua.StatusCodes.BadSecurityPolicyRejected)

    def _activate_session(self, requesthdr: Any, seqhdr: Any, body: Buffer) -> None:
        """ActivateSession (5.7.3), also of a session that lost its connection (6.7).

        The session is bound to this connection only after the client has proved who it is: asyncua binds it first, and
        it stays bound when the proof fails.
        """
        self._require_offered_security()
        params = struct_from_binary(ua.ActivateSessionParameters, body)
        session = self.session or self.iserver.lookup_external_session(requesthdr.AuthenticationToken)
        if session is None or session.auth_token != requesthdr.AuthenticationToken:
            raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        policy = self._connection.security_policy
        if (policy.peer_certificate or None) != session.certificate and policy.peer_certificate:
            raise ServiceError(ua.StatusCodes.BadSecurityChecksFailed)
        nonce = (policy.host_certificate or b"") + session.nonce
        policy.asymmetric_cryptography.verify(nonce, params.ClientSignature.Signature)
        moved = session.is_activated() and session.processor is not self
        if moved and identity_of(params.UserIdentityToken) != session.identity:
            raise ServiceError(ua.StatusCodes.BadIdentityTokenRejected)
        result = session.activate_session(params, policy.peer_certificate)
        self.session = session
        self._closing = False
        session.attach(self)
        response = ua.ActivateSessionResponse()
        response.Parameters = result
        self.send_response(requesthdr.RequestHandle, seqhdr, response)

    async def _session_watchdog_loop(self) -> None:
        """Nothing to do: a session's own timeout closes it, whatever connection it is on."""

    # -- 5.14 Subscription Service Set ----------------------------------------------------------------------------

    @staticmethod
    def _publish(session: Session, requesthdr: Any, seqhdr: Any, body: Buffer) -> None:
        """Publish (5.14.5)."""
        params = struct_from_binary(ua.PublishParameters, body)
        request = PublishRequestData(requesthdr=requesthdr, seqhdr=seqhdr)
        session.publish_request(request, params.SubscriptionAcknowledgements)

    def _republish(self, session: Session, requesthdr: Any, seqhdr: Any, body: Buffer) -> None:
        """Republish (5.14.6)."""
        params = struct_from_binary(ua.RepublishParameters, body)
        message = session.service.republish_message(session, params).encoded
        now_ticks = encoding.ticks(time.time_ns())
        self.send_encoded(
            seqhdr.RequestId, encoding.republish_response(requesthdr.RequestHandle, now_ticks, message)
        )

    # -- connection lost ------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """The connection is gone. An activated session with subscriptions waits for its client (6.7)."""
        self._closing = True
        for call in list(self._calls):
            call.cancel()
        session = self.session
        if session is None or session.processor is not self:
            return
        session.detach(self)
        if not session.is_activated() or not session.subscriptions:
            await session.close_session(True)
