"""Bounds and counters of the twin's OPC UA server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OpcUaLimits:
    """Every bound of the server; what happens at a bound stands beside it.

    Times in milliseconds or seconds as named, everything else is a count.
    """

    connections: int = 100  # the next one is closed as soon as it is accepted
    sessions: int = 100  # the next CreateSession gets BadTooManySessions
    session_timeout_s_min: float = 5.0  # a shorter request is revised up to this
    session_timeout_s_max: float = 600.0  # a longer request is revised down to this
    activation_timeout_s: float = 30.0  # a connection without an activated session is closed

    subscriptions: int = 100  # the next CreateSubscription gets BadTooManySubscriptions
    subscription_lifetime_s_max: float = 600.0  # RevisedLifetimeCount x RevisedPublishingInterval
    publishing_interval_ms_min: float = 10.0  # a shorter request is revised up to this
    publishing_interval_ms_max: float = 60_000.0  # a longer request is revised down to this
    keep_alive_count_max: int = 5_000  # a higher request is revised down to this
    publish_requests_per_session: int = 20  # the oldest gets BadTooManyPublishRequests
    notifications_per_publish: int = 5_000  # the rest follows with MoreNotifications
    retransmission_messages: int = 100  # per subscription; the oldest is discarded

    monitored_items_per_subscription: int = 5_000  # the next gets BadTooManyMonitoredItems
    queue_size_max: int = 10_000  # per monitored item; a higher request is revised down to this
    sampling_interval_ms_min: float = 10.0  # for nodes without a scan; 0 stays exception-based
    sampling_interval_ms_max: float = 3_600_000.0  # a longer request is revised down to this

    operations_per_call: int = 1_000  # nodes or items in one request; more get BadTooManyOperations
    calls_in_flight: int = 8  # slow methods per connection; the next one waits, and what follows it too
    history_values_per_node: int = 7_200  # the oldest is discarded
    history_values_per_read: int = 10_000  # over all nodes of a request; the rest by continuation point


@dataclass(slots=True)
class OpcUaCounters:
    """What became of every value, so that a loss can be charged to the right part.

    `offered` counts values handed to `publish`; all others count notifications, of which one value makes as many as
    there are monitored items on its node: `shown + repeated == filtered + unsampled + queued`, and
    `queued == overflowed + dropped + sent + waiting`: what a crash throws away is counted as dropped too.
    A notification that was sent and is neither acknowledged nor still retransmittable counts as `unacknowledged`.
    """

    offered: int = 0
    shown: int = 0  # put before a monitored item, by a tag
    repeated: int = 0  # the current value put before it once more: the first one, or after a transfer
    filtered: int = 0  # not taken: no change by its filter, or the item is disabled
    unsampled: int = 0  # passed over between two sampling instants, or waiting for the next
    queued: int = 0
    overflowed: int = 0  # discarded from a full queue
    dropped: int = 0  # still queued when its item, subscription or server ended
    sent: int = 0  # put on a connection, each once
    acknowledged: int = 0
    unacknowledged: int = 0  # discarded from the retransmission queue without an acknowledgement
    republished: int = 0  # put on a connection again on request
    waiting: int = 0  # now in a queue
    sessions: int = 0  # now open
    subscriptions: int = 0  # now existing
    refused_certificates: int = 0  # CreateSession with a certificate that is not trusted, or not valid now
    refused_users: int = 0  # ActivateSession without a user, or with a wrong password
    refused_in_clear: int = 0  # either on a channel without the security that is asked for
