"""How a primary host sees one edge node: its sequence, its aliases, and which of its samples are new."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from shakedown.twin.enterprise.sparkplug import HostMetric, HostPayload, typed

REORDER_MESSAGES_MAX = 64  # more than this many messages ahead of a gap is no reordering: ask for a rebirth
IDENTITIES_PER_METRIC_MAX = 200_000  # what the host remembers to recognise a repeat: over two days at 1 Hz

Row = tuple[str, str, int, object, int, bool, str]
"""(device, metric, ts_ms, value, quality, historical, origin)"""


@dataclass(slots=True)
class _Held:
    """The identities of one metric: how often each is held, and how often it came in this session."""

    held: OrderedDict[tuple[int, object, int], int] = field(default_factory=OrderedDict)
    session: dict[tuple[int, object, int], int] = field(default_factory=dict)


class Dedupe:
    """Keep a sample once: same device, metric, source timestamp, value and quality, the k-th of its kind.

    A session (from one birth to the next) carries every row at most once, so the k-th of its kind within a session is
    the k-th row; it is new when fewer than k are held. A value repeated in a birth is never a duplicate.
    """

    def __init__(self) -> None:
        self._metrics: dict[tuple[str, str], _Held] = {}

    def new_session(self) -> None:
        """A birth begins: count the repeats anew."""
        for metric in self._metrics.values():
            metric.session.clear()

    def is_new(
        self, device: str, metric: str, ts_ms: int, value: object, quality: int, *, birth: bool = False
    ) -> bool:
        """Whether this sample is not held yet; it is from now on."""
        known = self._metrics.get((device, metric))
        if known is None:
            known = self._metrics[device, metric] = _Held()
        identity = (
            ts_ms,
            repr(value) if isinstance(value, float) else value,
            quality,
        )  # NaN equals itself here
        held = known.held.get(identity, 0)
        if birth:
            fresh = held == 0
        else:
            count = known.session[identity] = known.session.get(identity, 0) + 1
            fresh = count > held
        if fresh:
            known.held[identity] = held + 1
            if len(known.held) > IDENTITIES_PER_METRIC_MAX:
                known.held.popitem(last=False)
        return fresh


class EdgeView:
    """One edge node as its primary host sees it. No I/O: `receive` returns what to keep, `problem` what is amiss."""

    def __init__(self, edge: str) -> None:
        self.edge = edge
        self.online = False
        self.waiting: dict[int, tuple[str, str, HostPayload]] = {}  # messages ahead of a gap, by seq
        self.duplicates = 0
        self.unknown = 0  # metrics whose alias no birth has named
        self.dedupe = Dedupe()
        self._bd_seq: int | None = None
        self._next_seq = 0
        self._aliases: dict[int, tuple[str, str, int]] = {}
        self._types: dict[tuple[str, str], int] = {}
        self._devices: set[str] = set()

    def death(self, payload: HostPayload) -> bool:
        """NDEATH: counts only when its bdSeq is the current birth's (tck-id-operational-behavior-*-ndeath)."""
        if not self.online or _bd_seq(payload) != self._bd_seq:
            return False
        self.lost()
        return True

    def lost(self) -> None:
        """The edge node is no longer known to be alive."""
        self.online = False
        self.waiting.clear()
        self._devices.clear()

    def birth(self, payload: HostPayload) -> list[Row]:
        """NBIRTH: a new session; aliases and sequence start anew."""
        self.online, self._bd_seq = True, _bd_seq(payload)
        self._aliases.clear()
        self._types.clear()
        self._devices = {""}
        self.waiting.clear()
        self.dedupe.new_session()
        self._next_seq = ((payload.seq or 0) + 1) % 256
        return self._born("", payload)

    def receive(self, kind: str, device: str, payload: HostPayload) -> tuple[list[Row], str | None]:
        """A DBIRTH, DDATA, NDATA or DDEATH: rows to keep, and what is amiss (None if nothing)."""
        if not self.online:
            return [], "data before a birth"
        if payload.seq is None:
            return [], "message without seq"
        ahead = (payload.seq - self._next_seq) % 256
        if ahead >= 128:
            return [], None  # of the past: a repeat by the transport
        self.waiting[payload.seq] = (kind, device, payload)
        rows: list[Row] = []
        problem = None
        while (entry := self.waiting.pop(self._next_seq, None)) is not None:
            self._next_seq = (self._next_seq + 1) % 256
            fresh, trouble = self._take(*entry)
            rows += fresh
            problem = problem or trouble
        if len(self.waiting) > REORDER_MESSAGES_MAX:
            problem = problem or f"{len(self.waiting)} messages ahead of a gap"
        return rows, problem

    def _take(self, kind: str, device: str, payload: HostPayload) -> tuple[list[Row], str | None]:
        if kind == "DBIRTH":
            self._devices.add(device)
            return self._born(device, payload), None
        if kind == "DDEATH":
            self._devices.discard(device)
            return [], None
        if device not in self._devices:
            return [], f"data of device {device!r} before its birth"
        rows: list[Row] = []
        unknown = 0
        for metric in payload.metrics:
            named = self._resolve(device, metric)
            if named is None:
                unknown += 1
                continue
            name, datatype = named
            value = typed(metric.value, datatype)
            if self.dedupe.is_new(device, name, metric.ts_ms, value, metric.quality):
                rows.append((device, name, metric.ts_ms, value, metric.quality, metric.historical, "data"))
            else:
                self.duplicates += 1
        self.unknown += unknown
        return rows, f"{unknown} metrics that no birth has named" if unknown else None

    def _resolve(self, device: str, metric: HostMetric) -> tuple[str, int] | None:
        if metric.name:
            datatype = self._types.get((device, metric.name))
            return None if datatype is None else (metric.name, datatype)
        known = self._aliases.get(-1 if metric.alias is None else metric.alias)
        return None if known is None or known[0] != device else known[1:]

    def _born(self, device: str, payload: HostPayload) -> list[Row]:
        rows: list[Row] = []
        for metric in payload.metrics:
            if not metric.name or metric.name in ("bdSeq", "Node Control/Rebirth"):
                continue
            if metric.alias is not None:
                self._aliases[metric.alias] = (device, metric.name, metric.datatype)
            self._types[device, metric.name] = metric.datatype
            value = typed(metric.value, metric.datatype)
            if self.dedupe.is_new(device, metric.name, metric.ts_ms, value, metric.quality, birth=True):
                rows.append((device, metric.name, metric.ts_ms, value, metric.quality, False, "birth"))
        return rows


def _bd_seq(payload: HostPayload) -> int | None:
    for metric in payload.metrics:
        if metric.name == "bdSeq" and isinstance(metric.value, int):
            return metric.value
    return None
