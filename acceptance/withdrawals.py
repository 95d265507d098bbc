"""A row that is not Good is a claim: it needs a cause at its time, and no oftener than the cause.

Causes: the source's own status, where its sample did not come as it was; the source lost, from the fault to the return
of its data; no value yet after a start of the bridge, in a birth; a gap that the bridge declares and the lab's server
counts. What cannot be carried is no claim but an answer (site.py). A birth that repeats the last claim, while nothing
newer has come, makes no new one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shakedown.acceptance.run import GRACE_S, Run
from shakedown.acceptance.spans import MS, S
from shakedown.acceptance.sparkplug import Value

SOUTH = frozenset({"cell", "plc", "bridge"})
"""What a fault affects that may cost the bridge its source."""
SAME_MAX = 4  # samples of one signal within a millisecond that are looked at
GAPS = ("declared_gaps", "declared_lost")


@dataclass(slots=True)
class Cause:
    """Why a value may be called not Good from `from_ms` to `to_ms`, `left` times; `unseen`: null, and in a birth."""

    from_ms: int
    to_ms: int
    left: int = 1
    unseen: bool = False


@dataclass
class Gaps:
    """Claims that declared gaps still allow, over all topics of a run."""

    left: int = 0

    @classmethod
    def of(cls, run: Run, declared: int) -> Gaps:
        """No more than the bridge declares, and than the lab's server counts as thrown away."""
        thrown = (run.server.get(name) for name in ("overflowed", "dropped"))
        return cls(min(declared, sum(count for count in thrown if type(count) is int)))


@dataclass
class Claims:
    """The rows of one topic that are not Good and answer no sample, held against its causes in order of arrival."""

    of_source: list[Cause]  # disjoint, in order
    of_faults: list[Cause]
    gaps: Gaps
    ts_ms: NDArray[np.int64]
    received_ms: NDArray[np.int64]
    _said: tuple[Value, int] | None = None  # value and quality of the last claim
    _said_ms: int = 0

    @classmethod
    def of(
        cls,
        run: Run,
        ns: NDArray[np.int64],
        doubted: NDArray[np.bool_],
        received_ns: NDArray[np.int64],
        gaps: Gaps,
        never: int,
    ) -> Claims:
        """Those of a topic whose samples were offered at `ns` and first received at `received_ns` or `never`.

        `doubted`: the source itself did not call that sample Good, or its type is refused.
        """
        missing = _of_the_source(ns, doubted & (received_ns == never), run.end_ns)
        return cls(
            list(missing), list(_of_faults(run, ns, received_ns, never)), gaps, ns // MS, received_ns // MS
        )

    def has_cause(self, ts_ms: int, received_ms: int, value: Value, quality: int, *, birth: bool) -> bool:
        """Whether there is a cause left for this claim; uses it up."""
        if birth and self._said == (value, quality) and not self._has_ended(received_ms):
            return True
        self._said, self._said_ms = (value, quality), ts_ms
        at_ms = ts_ms or received_ms  # a metric that was never seen is born with timestamp 0
        for cause in (*self._source_at(at_ms), *self.of_faults):
            fits = value is None and birth if cause.unseen else True
            if cause.left and fits and cause.from_ms <= at_ms <= cause.to_ms:
                cause.left -= 1
                return True
        if self.gaps.left:
            self.gaps.left -= 1
            return True
        return False

    def _has_ended(self, by_ms: int) -> bool:
        """Whether a newer sample than the last claim had come by then."""
        return bool(((self.ts_ms > self._said_ms) & (self.received_ms < by_ms)).any())

    def _source_at(self, at_ms: int) -> list[Cause]:
        """The sample in force at that time, and those of the same millisecond; and the one that ends with it."""
        after = bisect_right(self.of_source, at_ms, key=lambda cause: cause.from_ms)
        return self.of_source[max(0, after - SAME_MAX) : after]


def _of_the_source(ns: NDArray[np.int64], doubted: NDArray[np.bool_], end_ns: int) -> Iterator[Cause]:
    for index in np.flatnonzero(doubted).tolist():
        until_ns = int(ns[index + 1]) if index + 1 < len(ns) else end_ns
        yield Cause(int(ns[index]) // MS, until_ns // MS)


def _of_faults(
    run: Run, ns: NDArray[np.int64], received_ns: NDArray[np.int64], never: int
) -> Iterator[Cause]:
    """The source lost by a fault, until data of after it arrive; and a start of the bridge, until any data do."""
    arrived = received_ns != never
    starts = [run.ledger.start_ns]
    for fault in run.timeline:
        if fault.is_phase or not fault.affects & SOUTH:
            continue
        if "bridge" in fault.affects:
            starts.append(fault.start_ns)
        back = ns[arrived & (ns >= fault.end_ns)]
        until_ns = min(fault.end_ns + int(GRACE_S * S), int(back[0]) if len(back) else never)
        yield Cause(fault.start_ns // MS, until_ns // MS)
    for start_ns in starts:
        seen = received_ns[arrived & (received_ns > start_ns)]
        yield Cause(start_ns // MS, int(seen.min(initial=run.end_ns)) // MS, unseen=True)
