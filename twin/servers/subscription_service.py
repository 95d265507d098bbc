"""Subscription Service Set (Part 4, 5.14), each subscription reached through the session that owns it."""

from __future__ import annotations

from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.subscription_service import SubscriptionService as AsyncuaSubscriptionService

from shakedown.twin.servers.bounded_server import BoundedServer
from shakedown.twin.servers.session import Session
from shakedown.twin.servers.subscription import Owner, SentMessage, Subscription


class SubscriptionService(AsyncuaSubscriptionService):
    """All subscriptions of one server."""

    subscriptions: dict[int, Subscription]

    def __init__(self, internal_server: BoundedServer) -> None:
        super().__init__(internal_server.aspace, internal_server)
        self.limits = internal_server.limits
        self.counters = internal_server.counters

    def owned(self, session: Session, subscription_id: int) -> Subscription:
        """The session's subscription, its lifetime renewed; BadSubscriptionIdInvalid if it has none such."""
        subscription = session.subscriptions.get(subscription_id)
        if subscription is None:
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)
        subscription.reset_lifetime()
        return subscription

    async def create_subscription(self, *args: Any, **kwargs: Any) -> ua.CreateSubscriptionResult:
        """Refuse asyncua's server-internal subscriptions: they have no session and no publish requests."""
        raise NotImplementedError(
            "this server has no internal subscriptions: read the tags, or subscribe as a client"
        )

    def create(
        self, session: Session, params: ua.CreateSubscriptionParameters
    ) -> ua.CreateSubscriptionResult:
        """CreateSubscription (5.14.2)."""
        if len(self.subscriptions) >= self.limits.subscriptions:
            raise ServiceError(ua.StatusCodes.BadTooManySubscriptions)
        self._sub_id_counter += 1
        subscription = Subscription(self, session, self.aspace, self._sub_id_counter, params)
        self.subscriptions[subscription.subscription_id] = subscription
        session.subscriptions[subscription.subscription_id] = subscription
        subscription.start()
        return subscription.data

    def modify(
        self, session: Session, params: ua.ModifySubscriptionParameters
    ) -> ua.ModifySubscriptionResult:
        """ModifySubscription (5.14.3); the new interval takes effect with the next cycle."""
        subscription = self.owned(session, params.SubscriptionId)
        subscription.revise(
            params.RequestedPublishingInterval,
            params.RequestedLifetimeCount,
            params.RequestedMaxKeepAliveCount,
            params.MaxNotificationsPerPublish,
        )
        data = subscription.data
        return ua.ModifySubscriptionResult(
            data.RevisedPublishingInterval, data.RevisedLifetimeCount, data.RevisedMaxKeepAliveCount
        )

    def set_publishing(self, session: Session, params: ua.SetPublishingModeParameters) -> list[ua.StatusCode]:
        """SetPublishingMode (5.14.4)."""
        results = []
        for subscription_id in params.SubscriptionIds:
            subscription = session.subscriptions.get(subscription_id)
            if subscription is None:
                results.append(ua.StatusCode(ua.StatusCodes.BadSubscriptionIdInvalid))
            else:
                subscription.set_publishing(params.PublishingEnabled)
                results.append(ua.StatusCode())
        return results

    def republish_message(self, session: Session, params: ua.RepublishParameters) -> SentMessage:
        """Republish (5.14.6): the message as it was sent, or BadSubscriptionIdInvalid, or BadMessageNotAvailable."""
        message = self.owned(session, params.SubscriptionId).republish(params.RetransmitSequenceNumber)
        if message is None:
            raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)
        return message

    def transfer(
        self, session: Session, params: ua.TransferSubscriptionsParameters
    ) -> list[ua.TransferResult]:
        """TransferSubscriptions (5.14.7): one result per subscription."""
        results = []
        for subscription_id in params.SubscriptionIds:
            subscription = self.subscriptions.get(subscription_id)
            if subscription is None:
                status = ua.StatusCodes.BadSubscriptionIdInvalid
            elif not _same_client(subscription.session, session):
                status = ua.StatusCodes.BadUserAccessDenied
            else:
                self._move(subscription, session, params.SendInitialValues)
                results.append(ua.TransferResult(ua.StatusCode(), subscription.available_sequence_numbers))
                continue
            results.append(ua.TransferResult(ua.StatusCode(status), []))
        return results

    @staticmethod
    def _move(subscription: Subscription, session: Session, send_initial_values: bool) -> None:
        former = subscription.session
        if former is not session:
            former.subscriptions.pop(subscription.subscription_id, None)
            former.late.pop(subscription, None)
            message = subscription.status_change(ua.StatusCodes.GoodSubscriptionTransferred)
            former.notify(subscription.subscription_id, message)
            subscription.session = session
            session.subscriptions[subscription.subscription_id] = subscription
        subscription.reset_lifetime()
        if send_initial_values:
            subscription.monitored_item_srv.send_initial_values()
        if subscription.ready:
            session.late[subscription] = None  # the next publish request is answered at once

    async def delete_subscriptions(self, ids: list[int]) -> list[ua.StatusCode]:
        """DeleteSubscriptions (5.14.8)."""
        results = []
        for subscription_id in ids:
            subscription = self.subscriptions.get(subscription_id)
            if subscription is None:
                results.append(ua.StatusCode(ua.StatusCodes.BadSubscriptionIdInvalid))
            else:
                self._remove(subscription)
                results.append(ua.StatusCode())
        return results

    async def expire(self, subscription: Subscription) -> None:
        """The lifetime is over: say BadTimeout to whoever still listens, and forget it (5.14.1.2)."""
        message = subscription.status_change(ua.StatusCodes.BadTimeout)
        self._remove(subscription)
        subscription.session.notify(subscription.subscription_id, message)

    def _remove(self, subscription: Subscription) -> None:
        subscription.close()
        session = subscription.session
        session.late.pop(subscription, None)
        session.subscriptions.pop(subscription.subscription_id, None)
        self.subscriptions.pop(subscription.subscription_id, None)


def _same_client(owner: Owner, claimant: Session) -> bool:
    """Who may take a subscription over: the same user; for anonymous ones the same application (5.14.7.1).

    The clause also wants a signed channel for anonymous users; a lab without certificates could then never rehearse a
    transfer, so it is not asked for here.
    """
    if owner.identity != claimant.identity or owner.certificate != claimant.certificate:
        return False
    return owner.identity != ("anonymous",) or owner.application_uri == claimant.application_uri
