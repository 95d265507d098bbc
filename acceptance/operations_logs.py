"""Readers of what people did (`people.jsonl`) and of what the CMMS holds at the end (`cmms.jsonl`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from shakedown.acceptance.files import RERUN, LogFile, Problem

ROWS_MAX = 1_000_000
ENDED = frozenset({"closed", "cancelled"})
"""States after which a work order changes no more."""


class Ack(NamedTuple):
    """A person acknowledged one annunciation."""

    ns: int
    device: str
    alarm: str
    occurrence: int | None
    operator: str = ""


@dataclass
class People:
    """Acknowledgements and clipboard audits; repairs are known from the ledger."""

    acks: list[Ack] = field(default_factory=list)
    audits: list[dict[str, Any]] = field(default_factory=list)
    repaired: set[str] = field(default_factory=set)  # work orders for which something was repaired


@dataclass(frozen=True)
class WorkOrder:
    """One work order as the CMMS has it; `raw` is the whole of it."""

    id: str
    device: str
    alarm: str
    occurrence: int | None
    equipment: str
    physical_asset: str
    raised_ms: int
    created_ms: int
    history: tuple[tuple[int, str], ...]  # (ms, state) of every state that it has had
    raw: dict[str, Any]

    @property
    def ended_ms(self) -> int | None:
        """When it was closed or cancelled; None while it is not."""
        return min((ms for ms, state in self.history if state in ENDED), default=None)


def read_people(path: Path, problems: list[Problem]) -> People:
    """`people.jsonl`; nobody, if there is no such file."""
    people = People()
    if not path.is_file():
        return people
    log = LogFile(path)
    for record in log.records():
        try:
            tag, ns, kind, data = record
            if tag != "K" or len(people.acks) + len(people.audits) + len(people.repaired) >= ROWS_MAX:
                raise ValueError("tag, or more rows than ROWS_MAX")
            if kind == "ack":
                occurrence = data.get("occurrence")
                number = None if occurrence is None else int(occurrence)
                who = str(data.get("operator") or "")
                people.acks.append(Ack(int(ns), str(data["device"]), str(data["alarm"]), number, who))
            elif kind == "audit":
                people.audits.append(dict(data))
            elif kind == "repair" and "order" in data:
                people.repaired.add(str(data["order"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            log.malformed_record(record)
    problems += log.problems
    return people


def read_cmms(path: Path, problems: list[Problem]) -> list[WorkOrder]:
    """The work orders of `cmms.jsonl`, by creation."""
    log = LogFile(path)
    orders: list[WorkOrder] = []
    for record in log.records():
        try:
            if len(orders) >= ROWS_MAX:
                raise ValueError("more rows than ROWS_MAX")
            orders.append(_order(record))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            log.malformed_record(record)
    if log.complete and log.totals.get("work_orders") != len(orders):
        what = f"cmms.jsonl says {log.totals.get('work_orders')} work orders and holds {len(orders)}"
        problems.append(Problem(what, "cmms.jsonl, last line", RERUN))
    problems += log.problems
    return sorted(orders, key=lambda order: (order.created_ms, order.id))


def _order(record: dict[str, Any]) -> WorkOrder:
    occurrence = record.get("occurrence")
    history = tuple((int(ms), str(state)) for ms, state, *_ in record.get("history") or ())
    return WorkOrder(
        id=str(record["id"]),
        device=str(record["device"]),
        alarm=str(record["alarm"]),
        occurrence=None if occurrence is None else int(occurrence),
        equipment=str(record.get("equipment") or ""),
        physical_asset=str(record.get("physical_asset") or ""),
        raised_ms=int(record["raised_ms"]),
        created_ms=int(record["created_ms"]),
        history=history,
        raw=record,
    )
