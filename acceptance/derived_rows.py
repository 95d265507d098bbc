"""The rows of derived metrics, as the enterprise has them (docs/operations.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from shakedown.acceptance.run import Run
from shakedown.acceptance.sparkplug import GOOD, Value


class Row(NamedTuple):
    """One sample of a derived metric: when it was true, when the enterprise had it, and what it says."""

    ts_ms: int
    received_ns: int
    value: Value
    live: bool = True  # not sent as history


def rows_of(run: Run, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[Row]]:
    """The good rows of each (device, metric) of the run's edge node, in order of arrival."""
    host = run.host
    names = set(wanted)
    found: dict[tuple[str, str], list[Row]] = {name: [] for name in names}
    keys = {
        index: (device, metric)
        for index, (edge, device, metric) in enumerate(host.edges)
        if edge == run.site.edge and (device, metric) in names
    }
    if not keys:
        return found
    for row in np.flatnonzero(np.isin(np.frombuffer(host.key, dtype=np.int32), list(keys))).tolist():
        if host.quality[row] == GOOD:
            said = Row(host.ts_ms[row], host.received_ns[row], host.values[row], bool(host.live[row]))
            found[keys[host.key[row]]].append(said)
    return found
