"""What the embedded broker bounds, what it does at each bound, and what it counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

MIB = 1 << 20


@dataclass(frozen=True)
class BrokerLimits:
    """Every bound of the embedded broker. What happens there is said beside each one."""

    packet_bytes_max: int = 4 * MIB  # a larger packet: the connection is closed and its will published
    connect_timeout_s: float = 10.0  # no CONNECT by then: closed (MQTT 3.1.1, 3.1.4)
    connections_max: int = 1_000  # one more: closed at once
    sessions_max: int = 10_000  # one more client identifier: CONNACK 0x03, server unavailable
    subscriptions_max: int = 10_000  # per session; one more: SUBACK 0x80
    inflight_max: int = 1_000  # QoS 1 and 2 sent and not acknowledged, per session; more wait in its queue
    queue_max: int = 100_000  # QoS 1 and 2 waiting, per session; newest dropped, counted as `queue_full`
    queue_bytes_max: int = 256 * MIB  # the same, in payload bytes
    write_buffer_bytes_max: int = 16 * MIB  # unsent bytes per connection: QoS 0 dropped (`slow_consumer`),
    #                                         QoS 1 and 2 wait in the queue, nothing more is read from it
    retained_max: int = 100_000  # one more topic: not retained, counted as `retained_full`
    retained_bytes_max: int = 256 * MIB  # the same, in payload bytes
    routes_max: int = 10_000  # topics whose matching subscriptions are remembered; then all are forgotten
    close_timeout_s: float = 5.0  # a closing connection that does not take its last bytes is aborted


@dataclass
class BrokerCounters:
    """What the broker did since it was made, over restarts; `sessions` and `connections` are current."""

    accepted: int = 0  # PUBLISH taken from clients, and wills; a QoS 1 duplicate counts again
    duplicates: int = 0  # of these, QoS 1 with DUP set: perhaps accepted before
    delivered: int = 0  # PUBLISH handed to a subscriber's connection for the first time
    redelivered: int = 0  # PUBLISH sent again with DUP after a reconnect
    dropped: Counter[str] = field(default_factory=Counter)  # deliveries not made, by reason
    wills: int = 0
    sessions: int = 0
    connections: int = 0
    keep_alive_expired: int = 0
    taken_over: int = 0
    malformed: int = 0
    refused: Counter[str] = field(
        default_factory=Counter
    )  # for want of a right: tls, user, client_id, publish, ...
