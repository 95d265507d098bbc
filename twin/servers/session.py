"""One session: its identity, its connection, its publish requests and its subscriptions (Part 4, 5.7 and 6.7).

asyncua keeps publish requests and late subscriptions at the connection and reaches a subscription's session by stored
callbacks; here a session has a connection or none, a subscription has a session, and nothing else needs to be moved
when either changes.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Sized
from typing import Any, NamedTuple, Protocol

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_session import InternalSession, SessionState
from asyncua.server.uaprocessor import PublishRequestData

from shakedown.twin.servers import encoding
from shakedown.twin.servers.bounded_server import BoundedServer
from shakedown.twin.servers.subscription import Subscription

_NOT_A_USER = (
    ua.StatusCodes.BadIdentityTokenInvalid,
    ua.StatusCodes.BadIdentityTokenRejected,
    ua.StatusCodes.BadUserAccessDenied,
)


class Notice(NamedTuple):
    """The last message of a subscription that this session has no more: a StatusChangeNotification."""

    subscription_id: int
    message: bytes


class Wire(Protocol):
    """The connection that a session answers by."""

    def is_closing(self) -> bool: ...
    def abort(self) -> None: ...
    def send_encoded(self, request_id: int, body: bytes) -> None: ...
    def send_fault(self, request_header: ua.RequestHeader, sequence_header: Any, status: int) -> None: ...


class Session(InternalSession):
    """A client's session. Its SessionId counts per server, and its AuthenticationToken cannot be guessed (7.36)."""

    iserver: BoundedServer
    state: SessionState

    def __init__(self, internal_server: BoundedServer, name: str, number: int, user: Any) -> None:
        service = internal_server.subscription_service
        super().__init__(internal_server, internal_server.aspace, service, name, user=user)
        self.external = True
        self.service = service
        self.limits = internal_server.limits
        self.session_id = ua.NodeId(number, 1)
        self.auth_token = ua.NodeId(os.urandom(32), 0)
        self.processor: Wire | None = None
        self.application_uri = ""
        self.certificate: bytes | None = None
        self.identity: tuple[str, ...] = ()
        self.subscriptions: dict[int, Subscription] = {}
        self.late: dict[
            Subscription, None
        ] = {}  # subscriptions that wait for a publish request, first come first
        self._notices: deque[Notice] = deque(maxlen=internal_server.limits.subscriptions)
        self._publish_requests: deque[PublishRequestData] = deque()
        self.iserver.register_external_session(self)

    # -- 5.7 Session Service Set ----------------------------------------------------------------------------------

    async def create_session(
        self, params: ua.CreateSessionParameters, sockname: Any = None
    ) -> ua.CreateSessionResult:
        """CreateSession (5.7.2); remembers who the client says it is."""
        self.application_uri = params.ClientDescription.ApplicationUri or ""
        self.certificate = params.ClientCertificate or None
        return await super().create_session(params, sockname)

    def activate_session(
        self, params: ua.ActivateSessionParameters, peer_certificate: Any
    ) -> ua.ActivateSessionResult:
        """ActivateSession (5.7.3). asyncua counts activated sessions per process; the limit here is per server."""
        first = self.state == SessionState.Created
        try:
            result = super().activate_session(params, peer_certificate)
        except ServiceError as error:
            self.iserver.counters.refused_users += error.code in _NOT_A_USER
            raise
        if first:
            InternalSession._current_connections -= 1
        self.identity = identity_of(params.UserIdentityToken)
        return result

    async def close_session(self, delete_subs: bool = True) -> None:
        """CloseSession (5.7.4); subscriptions that are not deleted live on without a session (5.14.1.2)."""
        if self.state == SessionState.Closed:
            return
        self.state = SessionState.Closed
        if self._timeout_task is not None and self._timeout_task is not asyncio.current_task():
            self._timeout_task.cancel()
        self.iserver.unregister_external_session(self)
        self.late.clear()
        if delete_subs:
            await self.service.delete_subscriptions(list(self.subscriptions))
        while self._publish_requests:
            self._fault(self._publish_requests.popleft(), ua.StatusCodes.BadSessionClosed)

    async def _timeout_loop(self) -> None:
        """A session without any request for its timeout is closed, its subscriptions are not (5.14.1.2)."""
        while self.state is SessionState.Activated:
            remaining_s = (self.session_timeout or 0) - (time.monotonic() - self._last_activity)
            if remaining_s > 0:
                await asyncio.sleep(remaining_s)
                continue
            await self.close_session(False)
            if self.processor is not None:
                self.processor.abort()

    # -- connection -----------------------------------------------------------------------------------------------

    def attach(self, processor: Wire) -> None:
        """The session speaks through this connection from now on; requests of the former one die with it."""
        former, self.processor = self.processor, processor
        if former is not None and former is not processor:
            self._publish_requests.clear()
            former.abort()

    def detach(self, processor: Wire) -> None:
        """The connection is gone; if it was ours, so are the publish requests that came over it."""
        if self.processor is processor:
            self.processor = None
            self._publish_requests.clear()

    # -- 5.14.5 Publish -------------------------------------------------------------------------------------------

    def publish_request(self, request: PublishRequestData, acknowledgements: list[Any]) -> None:
        """Publish: acknowledge, then answer at once if something waits, or keep the request."""
        request.results = [self._acknowledge(ack) for ack in acknowledgements]
        if not self.subscriptions and not self._notices:
            raise ServiceError(ua.StatusCodes.BadNoSubscription)
        self._publish_requests.append(request)
        self._send_notices()
        while self._publish_requests and self.late and self._is_connected:
            next(iter(self.late)).publish()
        if len(self._publish_requests) > len(self.subscriptions) + self.limits.publish_requests_per_session:
            self._fault(self._publish_requests.popleft(), ua.StatusCodes.BadTooManyPublishRequests)

    @property
    def _is_connected(self) -> bool:
        """Whether an answer can be sent: requests may still be read from a connection that has been reset."""
        return self.processor is not None and not self.processor.is_closing()

    def _acknowledge(self, ack: ua.SubscriptionAcknowledgement) -> ua.StatusCode:
        subscription = self.subscriptions.get(ack.SubscriptionId)
        if subscription is None:
            return ua.StatusCode(ua.StatusCodes.BadSubscriptionIdInvalid)
        return ua.StatusCode(subscription.acknowledge(ack.SequenceNumber))

    def take_publish_request(self) -> PublishRequestData | None:
        """The oldest publish request that can still be answered; those that timed out are told so."""
        if not self._is_connected:
            return None
        now = time.monotonic()
        while self._publish_requests:
            request = self._publish_requests.popleft()
            if not request.has_timed_out(now):
                return request
            self._fault(request, ua.StatusCodes.BadTimeout)
        return None

    def respond(
        self, request: PublishRequestData, subscription: Subscription, message: bytes, more: bool
    ) -> None:
        """Answer a publish request with a NotificationMessage."""
        self._respond(
            request, subscription.subscription_id, subscription.available_sequence_numbers, message, more
        )

    def _respond(
        self,
        request: PublishRequestData,
        subscription_id: int,
        available: list[int],
        message: bytes,
        more: bool,
    ) -> None:
        assert self.processor is not None  # whoever has a request got it from take_publish_request
        handle = request.requesthdr.RequestHandle
        body = encoding.publish_response(
            handle,
            encoding.ticks(time.time_ns()),
            subscription_id,
            available,
            more,
            message,
            request.results or [],
        )
        self.processor.send_encoded(request.seqhdr.RequestId, body)

    def _fault(self, request: PublishRequestData, status: int) -> None:
        if self._is_connected:
            assert self.processor is not None
            self.processor.send_fault(request.requesthdr, request.seqhdr, status)

    def notify(self, subscription_id: int, message: bytes) -> None:
        """Tell the client that a subscription of its is gone, with this or the next publish request."""
        self._notices.append(Notice(subscription_id, message))
        self._send_notices()

    def _send_notices(self) -> None:
        while self._notices:
            request = self.take_publish_request()
            if request is None:
                return
            notice = self._notices.popleft()
            self._respond(request, notice.subscription_id, [], notice.message, False)

    # -- services that must be the session's own subscription's, and within the operation limits ---------------------

    def _within_limit(self, operations: Sized | None) -> None:
        """Part 4, 7.38: BadNothingToDo for none, BadTooManyOperations above the announced limit."""
        if not operations:
            raise ServiceError(ua.StatusCodes.BadNothingToDo)
        if len(operations) > self.limits.operations_per_call:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        """Read (5.11.2)."""
        self._within_limit(params.NodesToRead)
        return await super().read(params)

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        """Write (5.11.4)."""
        self._within_limit(params.NodesToWrite)
        return await super().write(params)

    async def browse(self, params: ua.BrowseParameters) -> list[ua.BrowseResult]:
        """Browse (5.9.2)."""
        self._within_limit(params.NodesToBrowse)
        return await super().browse(params)

    async def translate_browsepaths_to_nodeids(
        self, params: list[ua.BrowsePath]
    ) -> list[ua.BrowsePathResult]:
        """TranslateBrowsePathsToNodeIds (5.9.4)."""
        self._within_limit(params)
        return await super().translate_browsepaths_to_nodeids(params)

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Call (5.12.2)."""
        self._within_limit(params)
        return await super().call(params)

    async def history_read(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        """HistoryRead (5.11.3)."""
        self._within_limit(params.NodesToRead)
        return await super().history_read(params)

    async def create_subscription(
        self, params: ua.CreateSubscriptionParameters, callback: Any = None, request_callback: Any = None
    ) -> ua.CreateSubscriptionResult:
        """CreateSubscription (5.14.2); the callbacks are asyncua's way to the connection and not needed."""
        return self.service.create(self, params)

    def modify_subscription(self, params: ua.ModifySubscriptionParameters) -> ua.ModifySubscriptionResult:
        """ModifySubscription (5.14.3)."""
        return self.service.modify(self, params)

    async def set_publishing_mode(self, params: ua.SetPublishingModeParameters) -> list[ua.StatusCode]:
        """SetPublishingMode (5.14.4)."""
        self._within_limit(params.SubscriptionIds)
        return self.service.set_publishing(self, params)

    async def delete_subscriptions(self, ids: list[int]) -> list[ua.StatusCode]:
        """DeleteSubscriptions (5.14.8), of this session only."""
        self._within_limit(ids)
        return await self.service.delete_subscriptions([i if i in self.subscriptions else 0 for i in ids])

    async def transfer_subscriptions(
        self, params: ua.TransferSubscriptionsParameters, callback: Any = None
    ) -> list[ua.TransferResult]:
        """TransferSubscriptions (5.14.7); the callback is asyncua's way to the connection and not needed."""
        self._within_limit(params.SubscriptionIds)
        return self.service.transfer(self, params)

    async def create_monitored_items(self, params: ua.CreateMonitoredItemsParameters) -> list[Any]:
        """CreateMonitoredItems (5.13.2)."""
        self._within_limit(params.ItemsToCreate)
        self.service.owned(self, params.SubscriptionId)
        return await super().create_monitored_items(params)

    async def modify_monitored_items(self, params: ua.ModifyMonitoredItemsParameters) -> list[Any]:
        """ModifyMonitoredItems (5.13.3)."""
        self._within_limit(params.ItemsToModify)
        self.service.owned(self, params.SubscriptionId)
        return await super().modify_monitored_items(params)

    async def set_monitoring_mode(self, params: ua.SetMonitoringModeParameters) -> list[ua.StatusCode]:
        """SetMonitoringMode (5.13.4)."""
        self._within_limit(params.MonitoredItemIds)
        self.service.owned(self, params.SubscriptionId)
        return await super().set_monitoring_mode(params)

    async def delete_monitored_items(self, params: ua.DeleteMonitoredItemsParameters) -> list[ua.StatusCode]:
        """DeleteMonitoredItems (5.13.6)."""
        self._within_limit(params.MonitoredItemIds)
        self.service.owned(self, params.SubscriptionId)
        return await super().delete_monitored_items(params)


def identity_of(token: object) -> tuple[str, ...]:
    """Who the user is, to be compared between sessions."""
    if isinstance(token, ua.UserNameIdentityToken):
        return ("user", token.UserName or "")
    if isinstance(token, ua.X509IdentityToken):
        return ("certificate", (token.CertificateData or b"").hex())
    return ("anonymous",)
