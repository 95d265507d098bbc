"""What the judge knows of a shift, and the parts of a machine: which are surely or perhaps in a stretch of time.

Time is integer nanoseconds until the very end. What of a shift is break is planned downtime, the rest is the planned
busy time (PBT). What the work unit that counts for the line does splits it (ISO 22400-2; docs/oee.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from shakedown.acceptance.oee.course import Column, Span
from shakedown.acceptance.oee.figures import Within
from shakedown.acceptance.physical import Physical
from shakedown.acceptance.readers import Ledger
from shakedown.acceptance.spans import S

BUCKETS = {"apt": "run", "aust": "changeover", "adet": "fault", "adot": "idle"}
"""Time element of ISO 22400 to canonical state; together they are the planned busy time."""
COUNTS = ("produced", "good", "reject")


@dataclass
class ShiftTruth:
    """One shift of one line as it was. Times in ns; a count is (least, most): what an edge may push to either side."""

    name: str
    from_ns: int
    to_ns: int
    buckets_ns: dict[str, int] = field(default_factory=dict)
    unknown_ns: int = 0  # of the planned time, before the first sample of the state
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    exact: dict[str, int] = field(default_factory=dict)  # counts by the physical moment
    standard_ns: int = 0  # sum of PRI_j * PQ_j
    standards_ns: tuple[int, int] = (0, 0)
    yields: dict[str, float | None] = field(default_factory=dict)  # quality and fpy
    spans: dict[str, Within] = field(
        default_factory=dict
    )  # what its counts make of the factors that follow from them
    reworks: tuple[int, int] = (0, 0)
    stops: int = 0
    is_line: bool = False  # then a shift in which nothing was made has an OEE of 0
    delay_ns: int | None = None
    """Waiting inside of orders, as far as `buckets_ns` has it in ADET; None where no order is told of."""

    @property
    def unsure(self) -> int:
        """Parts of which nobody can say whether they are in the shift."""
        least, most = self.counts["produced"]
        return most - least

    @property
    def down_ns(self) -> int:
        """Time at fault: ADET without what was waited inside of orders."""
        return self.buckets_ns["adet"] - (self.delay_ns or 0)

    @property
    def pbt_ns(self) -> int:
        """Planned busy time."""
        return sum(self.buckets_ns.values()) + self.unknown_ns

    @property
    def known_ns(self) -> int:
        """The part of it of which the state is known."""
        return self.pbt_ns - self.unknown_ns

    def kpis(self) -> dict[str, float | None]:
        """availability, effectiveness, quality, oee, fpy; None where the denominator is zero, E is never clipped."""
        apt_ns = self.buckets_ns["apt"]
        a, e, q = ratio(apt_ns, self.known_ns), ratio(self.standard_ns, apt_ns), self.yields["quality"]
        oee = None if a is None or e is None or q is None else a * e * q
        if self.is_line and a is not None and not (apt_ns and self.exact["produced"]):
            oee = 0.0
        return {"availability": a, "effectiveness": e, "quality": q, "oee": oee, "fpy": self.yields["fpy"]}


class Parts(NamedTuple):
    """The parts of one machine in parallel columns; the last three say which of them count in a stretch of time."""

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

    def counted(self, which: Column) -> tuple[int, int]:
        """How many of a kind there are at the least and at the most."""
        return int(np.count_nonzero(self.surely & which)), int(np.count_nonzero(self.perhaps & which))


def ratio(numerator: float, denominator: float) -> float | None:
    """A quotient, None of nothing."""
    return numerator / denominator if denominator else None


class Machine:
    """The parts of one machine as the ledger has them, and which of them its counters show in a stretch of time.

    A controller shows a part at its next scan (`scan_ms`); parts of before `unseen_until_ns` nobody could count, nor
    those that a counter forgot before any scan had shown them, nor those that no scan showed before the line ended:
    each widens the interval in which an exact count must lie, by those parts and no more.
    """

    def __init__(self, ledger: Ledger, name: str, scan_ms: int, unseen_until_ns: int = 0) -> None:
        physical = ledger.physical
        self.ledger, self.name, self.scan_ms = ledger, name, scan_ms
        mine = np.frombuffer(physical.part_machine, dtype=np.int32) == physical.machines.get(name, -1)
        self._ns = np.frombuffer(physical.part_ns, dtype=np.int64)[mine]
        self.shown = self.next_scan(self._ns)
        forgotten = np.isin(self.shown, self.next_scan(_resets(physical, name)))
        self._known = (self.shown > unseen_until_ns) & (self.shown <= ledger.end_ns) & ~forgotten
        self._columns = (
            np.frombuffer(physical.part_good, dtype=np.int8)[mine].astype(bool),
            np.frombuffer(physical.part_rework, dtype=np.int8)[mine].astype(bool),
            np.frombuffer(physical.part_product, dtype=np.int32)[mine],
            np.frombuffer(physical.part_lot, dtype=np.int32)[mine],
        )

    def next_scan(self, moments: Column) -> Column:
        """When the controller shows what happens at these moments."""
        scan_ns = max(1, self.scan_ms * 1_000_000)
        return self.ledger.start_ns - (self.ledger.start_ns - moments) // scan_ns * scan_ns

    def parts(self, from_ns: int, to_ns: int, doubt: Sequence[Span] = ()) -> Parts:
        """The parts, and which of them are those of a stretch of time."""
        surely = (self._ns > from_ns) & (self.shown < to_ns) & self._known
        for begin, end in doubt:
            surely &= (self.shown < begin) | (self.shown >= end)
        return Parts(
            *self._columns,
            inside=(self._ns >= from_ns) & (self._ns < to_ns),
            surely=surely,
            perhaps=(self.shown >= from_ns) & (self._ns <= to_ns),
        )

    def good_since(self, ns: int, count: int) -> int | None:
        """When the so manyth good part since a moment was made; None if it never was, or of none."""
        good = self._ns[self._columns[0] & (self._ns > ns)]
        return int(good[count - 1]) if 0 < count <= len(good) else None

    def changes_of_product(self) -> list[Span]:
        """From each last good part of a product to the first good one of the next, at the scans that show them."""
        good, _, product, _ = self._columns
        shown, products = self.shown[good], product[good]
        last = np.flatnonzero(products[1:] != products[:-1])
        return list(zip(shown[last].tolist(), shown[last + 1].tolist(), strict=True))

    def standard_ns(self, products: Column) -> int:
        """Sum of PRI over parts, given the number of the product of each."""
        names = list(self.ledger.physical.products)
        numbers = enumerate(np.bincount(products, minlength=len(names)).tolist())
        header = self.ledger.header
        return sum(parts * ideal_ns(header, names[index], self.name) for index, parts in numbers if parts)

    def standards_ns(self, parts: Parts, which: Column) -> tuple[int, int]:
        """The least and the most that the parts of a kind should have taken."""
        least, most = (
            self.standard_ns(parts.product[some & which]) for some in (parts.surely, parts.perhaps)
        )
        return least, most


def shifts_of(ledger: Ledger) -> list[tuple[str, int, int]]:
    """(name, from_ns, to_ns) of each shift that began; one that has not ended does so as the calendar says."""
    planned = {
        (entry["name"], entry["from_ns"]): entry["to_ns"] for entry in ledger.header.get("calendar") or ()
    }
    begun: dict[str, int] = {}
    found = []
    for event in ledger.physical.of("shift"):
        name = str(event.data.get("name"))
        if event.data.get("phase") == "start":
            begun[name] = event.ns
        elif name in begun:
            found.append((name, begun.pop(name), event.ns))
    return found + [(name, ns, planned[name, ns]) for name, ns in begun.items() if (name, ns) in planned]


def share(parts: Parts, which: Column) -> Within:
    """The share of parts of a kind; one at an edge may be of the kind or of the others."""
    (least, most), (others_least, others_most) = parts.counted(which), parts.counted(~which)
    return Within(
        ratio(least, least + others_most) or 0.0,
        ratio(most, most + others_least) or 0.0,
        not least + others_least,
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
