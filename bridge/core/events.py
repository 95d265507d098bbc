"""What the Sparkplug session is told (events) and what it asks for (effects): plain data, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from shakedown.bridge.core.model import Sample, Value


class Timer(Enum):
    """Timers of the session; scheduling one again replaces it."""

    CONNECT = "connect"  # the next connection attempt is due
    HANDSHAKE = "handshake"  # CONNACK, SUBACK or the end of a polite disconnect is overdue
    BIRTHS = "births"  # births that had to wait are due


# ---- events


@dataclass(frozen=True, slots=True)
class Start:
    """Begin: connect for the first time."""


@dataclass(frozen=True, slots=True)
class BdSeqTaken:
    """A bdSeq is persisted and belongs to the next CONNECT."""

    bd_seq: int


@dataclass(frozen=True, slots=True)
class Connected:
    """CONNACK with return code 0."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """SUBACK: granted QoS per filter, 128 for a refused one."""

    granted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The connection is gone, or never came about; `reason` is for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Message:
    """A PUBLISH was received."""

    topic: str
    payload: bytes
    is_retained: bool = False


@dataclass(frozen=True, slots=True)
class TimerFired:
    timer: Timer


@dataclass(frozen=True, slots=True)
class Live:
    """Samples that have just been journaled, in the order of their rows: published if the session is online."""

    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class Held:
    """Journaled samples that cannot be published now (back pressure): their metrics' values are remembered."""

    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class Released:
    """Back pressure has ended: publish the present value of what changed meanwhile."""


@dataclass(frozen=True, slots=True)
class History:
    """Journaled samples to be published once more, as history, in the order of their rows."""

    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class HistoryDone:
    """No history is outstanding."""


@dataclass(frozen=True, slots=True)
class NodeValues:
    """What the edge node says of itself, by metric name; only changes are published."""

    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class SouthUp:
    south: str


@dataclass(frozen=True, slots=True)
class SouthLost:
    south: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Say goodbye: NDEATH, then DISCONNECT."""


Event = (
    Start | BdSeqTaken | Connected | Subscribed | ConnectionLost | Message | TimerFired | Live | Held | Released
    | History | HistoryDone | NodeValues | SouthUp | SouthLost | Stop
)  # fmt: skip


# ---- effects


@dataclass(frozen=True, slots=True)
class TakeBdSeq:
    """Persist the next bdSeq, then answer with BdSeqTaken."""


@dataclass(frozen=True, slots=True)
class Publish:
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a new connection: clean session, with this Will."""

    will: Publish


@dataclass(frozen=True, slots=True)
class Subscribe:
    filters: tuple[tuple[str, int], ...]  # topic filter, QoS


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Send DISCONNECT after everything published, close, then answer with ConnectionLost."""


@dataclass(frozen=True, slots=True)
class Abort:
    """Close the connection at once and without DISCONNECT, so that the broker publishes the Will; no answer."""


@dataclass(frozen=True, slots=True)
class Schedule:
    timer: Timer
    delay_s: float


@dataclass(frozen=True, slots=True)
class Born:
    """All births have been published: they show every row journaled so far, and history may follow."""


@dataclass(frozen=True, slots=True)
class HostOnline:
    """STATE of the primary host, not older than what was obeyed; a live one was published just now."""

    ts: int
    is_live: bool


@dataclass(frozen=True, slots=True)
class HostOffline:
    """STATE of the primary host says that it is gone."""


@dataclass(frozen=True, slots=True)
class Command:
    """A DCMD asks for a value of a metric that takes commands."""

    metric_id: int
    value: Value


@dataclass(frozen=True, slots=True)
class Note:
    """Something for the log."""

    text: str


Effect = (
    TakeBdSeq | Publish | Connect | Subscribe | Disconnect | Abort | Schedule | Born | HostOnline | HostOffline
    | Command | Note
)  # fmt: skip
