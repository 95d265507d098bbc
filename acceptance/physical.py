"""What physically happened, as the ledger's `P` rows tell it: parts in columns, the rest as events in order."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

EVENTS_MAX = 1_000_000
KEPT = frozenset({"state", "shift", "break", "fault", "swap", "upset", "order", "order_at"})


class Event(NamedTuple):
    """One physical event that criteria read."""

    ns: int
    kind: str
    machine: str
    data: dict[str, Any]


class TrueFault(msgspec.Struct, frozen=True):
    """A fault of a machine: when it began, what tells it, and how long people have. Times in ns."""

    id: str
    mode: str
    machine: str
    onset_ns: int
    end_ns: int  # repaired, or the end of the ledger
    critical: bool
    alarms: tuple[str, ...]  # in order: a verdict holds no sets, whose order is another in each process
    response_s: float


class Names(dict[str, int]):
    """Strings by number, in order of appearance."""

    def number(self, name: str) -> int:
        """The number of `name`, a new one the first time."""
        return self.setdefault(name, len(self))


@dataclass
class Physical:
    """Parts (parallel columns, in order) and the events of `KEPT`."""

    events: list[Event] = field(default_factory=list)
    machines: Names = field(default_factory=Names)
    products: Names = field(default_factory=Names)
    lots: Names = field(default_factory=Names)
    part_ns: array[int] = field(default_factory=lambda: array("q"))
    part_machine: array[int] = field(default_factory=lambda: array("i"))
    part_product: array[int] = field(default_factory=lambda: array("i"))
    part_lot: array[int] = field(default_factory=lambda: array("i"))
    part_good: array[int] = field(default_factory=lambda: array("b"))
    part_rework: array[int] = field(default_factory=lambda: array("b"))

    def add(self, record: list[Any]) -> None:
        """Take one `P` row. Raises ValueError, TypeError or KeyError for what is none."""
        _, ns, kind, machine, data = record
        if type(ns) is not int or not isinstance(machine, str) or not isinstance(data, dict):
            raise ValueError("physical event")
        if kind == "part":
            good, product = bool(data["good"]), str(data["product"])
            if data.get("disposition") == "rework":
                return  # goes through once more: a part is counted when it is finished
            self.part_ns.append(ns)
            self.part_machine.append(self.machines.number(machine))
            self.part_product.append(self.products.number(product))
            self.part_lot.append(self.lots.number(str(data.get("lot", ""))))
            self.part_good.append(good)
            self.part_rework.append(data.get("rework") is True)
        elif kind in KEPT:
            if len(self.events) >= EVENTS_MAX:
                raise ValueError("more events than EVENTS_MAX")
            self.events.append(Event(ns, kind, machine, data))

    def of(self, *kinds: str) -> list[Event]:
        """Events of these kinds, in order of time."""
        return sorted((event for event in self.events if event.kind in kinds), key=lambda event: event.ns)

    def faults(self, end_ns: int) -> list[TrueFault]:
        """The true faults by onset. A fault without id, or of an older ledger (phases start and end), is none."""
        onsets: dict[str, Event] = {}
        repaired: dict[str, int] = {}
        for event in self.of("fault"):
            name, phase = str(event.data.get("id")), event.data.get("phase")
            if phase == "onset":
                onsets.setdefault(name, event)
            elif phase == "repaired":
                repaired.setdefault(name, event.ns)
        return [_fault(name, event, repaired.get(name, end_ns)) for name, event in onsets.items()]

    def states_of(self, machine: str) -> list[tuple[int, str, int]]:
        """(ns, canonical state, stop reason) of one machine as they began; before the first change, from 0 on."""
        found = [event for event in self.of("state") if event.machine == machine]
        first = canonical(int(found[0].data["from"]), 0) if found else "idle"
        changes = [(event.ns, int(event.data["to"]), int(event.data.get("reason", 0))) for event in found]
        return [(0, first, 0), *((ns, canonical(number, reason), reason) for ns, number, reason in changes)]


def _fault(name: str, event: Event, end_ns: int) -> TrueFault:
    data = event.data
    alarms: Iterable[Any] = data.get("alarms") or ()
    return TrueFault(
        id=name,
        mode=str(data.get("mode", "")),
        machine=event.machine,
        onset_ns=event.ns,
        end_ns=max(end_ns, event.ns),
        critical=data.get("critical") is True,
        alarms=tuple(sorted(map(str, alarms))),
        response_s=float(data.get("response_s") or 600.0),
    )


SETUP = 101
_RUN = frozenset({6})
_FAULT = frozenset({1, 8, 9})
_STANDSTILL = frozenset({2, 7, 10, 11})
CAUSE_MIN = 100


def canonical(number: int, reason: int) -> str:
    """run, idle, fault or changeover of a PackML state number and stop reason (docs/plant.md).

    Held and stopped machines are at fault when they have a cause of their own (reasons from `CAUSE_MIN` on).
    """
    if number == SETUP:
        return "changeover"
    if number in _RUN:
        return "run"
    if number in _FAULT or (number in _STANDSTILL and reason >= CAUSE_MIN):
        return "fault"
    return "idle"
