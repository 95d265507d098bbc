"""How a primary host sees one edge node: its sequence, its aliases, and which of its samples are new."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from shakedown.twin.enterprise.sparkplug import HostPayload, typed

REORDER_MESSAGES_MAX = 64  # more than this many messages ahead of a gap is no reordering: ask for a rebirth
IDENTITIES_PER_METRIC_MAX = 200_000  # what the host remembers to recognise a repeat: over two days at 1 Hz

Row = tuple[str, str, int, object, int, bool, str]
"""(device, metric, ts_ms, value, quality, historical, origin)"""


@dataclass(slots=True)
class Held:
    """The identities of one metric: how often each is held, and how often it came in this session."""

    held: OrderedDict[tuple[int, object, int], int] = field(default_factory=OrderedDict)
    session: dict[tuple[int, object, int], int] = field(default_factory=dict)

    def is_new(self, ts_ms: int, value: object, quality: int, *, birth: bool = False) -> bool:
        """Whether this sample is not held yet; it is from now on."""
        if isinstance(value, float):
            value = value.hex()  # NaN equals itself here
        identity = ts_ms, value, quality
        held = self.held.get(identity, 0)
        if birth:
            fresh = held == 0
        else:
            count = self.session[identity] = self.session.get(identity, 0) + 1
            fresh = count > held
        if fresh:
            self.held[identity] = held + 1
            if len(self.held) > IDENTITIES_PER_METRIC_MAX:
                self.held.popitem(last=False)
        return fresh


class Dedupe(dict[tuple[str, str], Held]):
    """Keep a sample once: same device, metric, source timestamp, value and quality, the k-th of its kind.

    By device and metric. A session (from one birth to the next) carries every row at most once, so the k-th of its
    kind within a session is the k-th row; it is new when fewer than k are held. A value repeated in a birth is never a
    duplicate.
    """

    def __missing__(self, metric: tuple[str, str]) -> Held:
        held = self[metric] = Held()
        return held

    def new_session(self) -> None:
        """A birth begins: count the repeats anew."""
        for metric in self.values():
            metric.session.clear()


_Named = tuple[str, str, int, Held]
"""(device, metric, datatype, what is held of it), as a birth has named it"""


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
        self._aliases: dict[int | None, _Named] = {}
        self._names: dict[tuple[str, str], _Named] = {}
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
        self._names.clear()
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
        for name, alias, ts_ms, _, historical, value, quality in payload.metrics:
            named = self._names.get((device, name)) if name else self._aliases.get(alias)
            if named is None or named[0] != device:
                unknown += 1
                continue
            _, name, datatype, held = named
            value = typed(value, datatype)
            if held.is_new(ts_ms, value, quality):
                rows.append((device, name, ts_ms, value, quality, historical, "data"))
            else:
                self.duplicates += 1
        self.unknown += unknown
        return rows, f"{unknown} metrics that no birth has named" if unknown else None

    def _born(self, device: str, payload: HostPayload) -> list[Row]:
        rows: list[Row] = []
        for metric in payload.metrics:
            if not metric.name or metric.name in ("bdSeq", "Node Control/Rebirth"):
                continue
            held = self.dedupe[device, metric.name]
            named = self._names[device, metric.name] = device, metric.name, metric.datatype, held
            if metric.alias is not None:
                self._aliases[metric.alias] = named
            value = typed(metric.value, metric.datatype)
            if held.is_new(metric.ts_ms, value, metric.quality, birth=True):
                rows.append((device, metric.name, metric.ts_ms, value, metric.quality, False, "birth"))
        return rows


def _bd_seq(payload: HostPayload) -> int | None:
    for metric in payload.metrics:
        if metric.name == "bdSeq" and isinstance(metric.value, int):
            return metric.value
    return None
