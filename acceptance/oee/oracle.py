"""The judge's own OEE of each shift, from what physically happened: an integer sweep over edges, states and parts.

Time is integer nanoseconds until the very end. A shift lasts from its `start` to its `end` event; what of it is break
is planned downtime, the rest is the planned busy time (PBT). The state of the machine that counts for the line splits
it: run is APT, changeover AUST, fault ADET, idle ADOT (standards 3: ISO 22400-2, OPC 40001-1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from shakedown.acceptance.oee.figures import Within
from shakedown.acceptance.physical import Physical
from shakedown.acceptance.readers import Ledger

S = 1_000_000_000
BUCKETS = {"apt": "run", "aust": "changeover", "adet": "fault", "adot": "idle"}
"""Time element of ISO 22400 to canonical state; together they are the planned busy time."""
COUNTS = ("produced", "good", "reject")

Column = np.ndarray[Any, np.dtype[Any]]


@dataclass
class ShiftTruth:
    """One shift of one line as it was. Times in ns; a count is (least, most): what an edge may push to either side."""

    name: str
    from_ns: int
    to_ns: int
    buckets_ns: dict[str, int] = field(default_factory=dict)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    standard_ns: int = 0  # sum of PRI_j * PQ_j
    exact: dict[str, int] = field(default_factory=dict)  # counts by the physical moment
    spans: dict[str, Within] = field(
        default_factory=dict
    )  # what its counts make of effectiveness, quality, oee, fpy
    reworked: int = 0
    first_pass: int = 0
    stops: int = 0
    delay_ns: int | None = None
    """Idle inside of orders, as far as `buckets_ns` has it in ADET; None where no order is told of."""

    @property
    def down_ns(self) -> int:
        """Time at fault: ADET without what was waited inside of orders."""
        return self.buckets_ns["adet"] - (self.delay_ns or 0)

    @property
    def pbt_ns(self) -> int:
        """Planned busy time."""
        return sum(self.buckets_ns.values())

    def kpis(self) -> dict[str, float | None]:
        """availability, effectiveness, quality, oee, fpy; None where the denominator is zero, E is never clipped."""
        apt_ns, produced, good = self.buckets_ns["apt"], self.exact["produced"], self.exact["good"]
        a, e, q = ratio(apt_ns, self.pbt_ns), ratio(self.standard_ns, apt_ns), ratio(good, produced)
        oee = None if a is None or e is None or q is None else a * e * q
        fpy = ratio(self.first_pass, produced)
        return {"availability": a, "effectiveness": e, "quality": q, "oee": oee, "fpy": fpy}


class Parts(NamedTuple):
    """The parts of one machine in parallel columns; the last three say which of them count in a shift."""

    shown: Column  # ns of the scan that shows it
    good: Column
    rework: Column
    product: Column
    lot: Column
    inside: Column  # by the physical moment
    surely: Column
    perhaps: Column

    def by_count(self) -> dict[str, Column]:
        """Which parts each count is of."""
        return dict(zip(COUNTS, (np.ones_like(self.good), self.good, ~self.good), strict=True))


def ratio(numerator: float, denominator: float) -> float | None:
    """A quotient, None of nothing."""
    return numerator / denominator if denominator else None


def shifts(ledger: Ledger, machine: str, scan_ms: int, unseen_until_ns: int = 0) -> list[ShiftTruth]:
    """Every shift that ended, for the line that `machine` counts for.

    A controller shows a part at its next scan (`scan_ms`); parts of before `unseen_until_ns` nobody could count, nor
    those that a counter forgot before any scan had shown them: each widens the interval in which an exact count must
    lie, by those parts and no more.
    """
    physical = ledger.physical
    found = []
    for name, from_ns, to_ns in ended_shifts(physical):
        truth = ShiftTruth(name, from_ns, to_ns)
        _sweep(truth, physical, machine)
        _count(truth, ledger, machine, parts_of(truth, ledger, machine, scan_ms, unseen_until_ns))
        found.append(truth)
    return found


def ended_shifts(physical: Physical) -> list[tuple[str, int, int]]:
    """(name, from_ns, to_ns) of each shift whose end is in the ledger."""
    begun: dict[str, int] = {}
    found = []
    for event in physical.of("shift"):
        name = str(event.data.get("name"))
        if event.data.get("phase") == "start":
            begun[name] = event.ns
        elif name in begun:
            found.append((name, begun.pop(name), event.ns))
    return found


def _sweep(truth: ShiftTruth, physical: Physical, machine: str) -> None:
    """Walk over all edges in order, and give the time between two of them to the state that the machine was in."""
    state, changes = physical.states_of(machine)
    edges: list[tuple[int, int, str, str]] = [(ns, 2, "state", to) for ns, to in changes]
    for event in physical.of("break"):
        edges.append((event.ns, 1, "break", str(event.data.get("phase"))))
    edges += [(truth.from_ns, 0, "shift", "start"), (truth.to_ns, 3, "shift", "end")]
    spent = dict.fromkeys(BUCKETS.values(), 0)
    inside = on_break = False
    last_ns = truth.from_ns
    edges.sort(key=lambda edge: edge[:2])  # of equal edges, the ledger's order
    for ns, _, kind, what in edges:
        if inside and not on_break:
            spent[state] += ns - last_ns
        last_ns = ns
        if kind == "state":
            truth.stops += inside and what == "fault" and state != "fault"
            state = what
        elif kind == "break":
            on_break = what == "start"
        else:
            inside = what == "start"
    truth.buckets_ns = {bucket: spent[of] for bucket, of in BUCKETS.items()}


def parts_of(
    truth: ShiftTruth, ledger: Ledger, machine: str, scan_ms: int, unseen_until_ns: int = 0
) -> Parts:
    """The parts of a machine, and which of them are those of the shift."""
    physical = ledger.physical
    number = physical.machines.get(machine, -1)
    mine = np.frombuffer(physical.part_machine, dtype=np.int32) == number
    ns = np.frombuffer(physical.part_ns, dtype=np.int64)[mine]
    shown = next_scan(ns, ledger, scan_ms)
    forgotten = np.isin(shown, next_scan(_resets(physical, machine), ledger, scan_ms))
    return Parts(
        shown=shown,
        good=np.frombuffer(physical.part_good, dtype=np.int8)[mine].astype(bool),
        rework=np.frombuffer(physical.part_rework, dtype=np.int8)[mine].astype(bool),
        product=np.frombuffer(physical.part_product, dtype=np.int32)[mine],
        lot=np.frombuffer(physical.part_lot, dtype=np.int32)[mine],
        inside=(ns >= truth.from_ns) & (ns < truth.to_ns),
        surely=(ns > truth.from_ns) & (shown < truth.to_ns) & (shown > unseen_until_ns) & ~forgotten,
        perhaps=(shown >= truth.from_ns) & (ns <= truth.to_ns),
    )


def next_scan(moments: Column, ledger: Ledger, scan_ms: int) -> Column:
    """When the controller shows what happens at these moments."""
    scan_ns = max(1, scan_ms * 1_000_000)
    return ledger.start_ns - (ledger.start_ns - moments) // scan_ns * scan_ns


def standard_ns(ledger: Ledger, machine: str, products: Column) -> int:
    """Sum of PRI over parts, given the number of the product of each."""
    names = list(ledger.physical.products)
    numbers = enumerate(np.bincount(products, minlength=len(names)).tolist())
    return sum(parts * ideal_ns(ledger.header, names[index], machine) for index, parts in numbers if parts)


def _count(truth: ShiftTruth, ledger: Ledger, machine: str, parts: Parts) -> None:
    for name, which in parts.by_count().items():
        truth.counts[name] = (
            int(np.count_nonzero(parts.surely & which)),
            int(np.count_nonzero(parts.perhaps & which)),
        )
        truth.exact[name] = int(np.count_nonzero(parts.inside & which))
    truth.reworked = int(np.count_nonzero(parts.inside & parts.good & parts.rework))
    truth.first_pass = int(np.count_nonzero(parts.inside & parts.good & ~parts.rework))
    truth.standard_ns = standard_ns(ledger, machine, parts.product[parts.inside])
    truth.spans = _spans(truth, ledger, machine, parts)


def _spans(truth: ShiftTruth, ledger: Ledger, machine: str, parts: Parts) -> dict[str, Within]:
    """What is known of the figures that follow from counts; one that is not there has no denominator."""
    spans = {}
    apt_ns = truth.buckets_ns["apt"]
    if apt_ns:
        least, most = (
            standard_ns(ledger, machine, parts.product[which]) for which in (parts.surely, parts.perhaps)
        )
        spans["effectiveness"] = Within(least / apt_ns, most / apt_ns, may_be_none=False)
    if np.any(parts.perhaps):
        spans["quality"] = _share(parts, parts.good)
        spans["fpy"] = _share(parts, parts.good & ~parts.rework)
    if spans.keys() >= {"effectiveness", "quality"}:
        a, e, q = apt_ns / truth.pbt_ns, spans["effectiveness"], spans["quality"]
        spans["oee"] = Within(a * e.low * q.low, a * e.high * q.high, q.may_be_none)
    return spans


def _share(parts: Parts, which: Column) -> Within:
    """The share of parts of a kind; one at an edge may be of the kind or of the others."""
    least, most = (int(np.count_nonzero(some & which)) for some in (parts.surely, parts.perhaps))
    others, most_others = (int(np.count_nonzero(some & ~which)) for some in (parts.surely, parts.perhaps))
    return Within(
        ratio(least, least + most_others) or 0.0, ratio(most, most + others) or 0.0, not least + others
    )


def _resets(physical: Physical, machine: str) -> Column:
    """When the machine's controller lost its counts."""
    found = [
        event.ns
        for event in physical.of("upset")
        if event.machine == machine
        and event.data.get("upset") == "counter_reset"
        and event.data.get("phase") == "start"
    ]
    return np.array(found, dtype=np.int64)


def ideal_ns(header: dict[str, Any], product: str, machine: str) -> int:
    """Planned run time per item (PRI) of a product on a machine, in ns. Raises KeyError without one."""
    return round(float(header["ideal_s"][product][machine]) * S)
