"""A generator of shift runs: eight hours of a small line, a bridge without fault, its alarms, reports and work orders.

The plan says when the packer ran, stood and was set up, when faults began and were repaired, and when a sensor spiked.
Ledger, host log, people and CMMS follow from it. Tests break the plan, or what follows from it, before it is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.json_lines import write_lines
from tests.acceptance.operations_plan import (
    ACK_S,
    ALARMS,
    BEYOND,
    CONTEXT_S,
    EDGE,
    FAULTS,
    FILLER,
    FOLLOW_MS,
    INDEX,
    MS,
    NUMBERS,
    OFF_DELAY_S,
    ON_DELAY_S,
    ORDER_S,
    PACKER,
    QUIET,
    SECONDS,
    START_NS,
    STATES,
    SWAP_S,
    S,
    Span,
    at,
    header,
    site,
)  # fmt: skip
from tests.acceptance.operations_report import doubles_of, report_of


@dataclass
class Call:
    """One annunciation that the bridge makes, in ms since the epoch; None where it never comes to that."""

    alarm: str
    raised_ms: int
    acked_ms: int | None
    cleared_ms: int | None
    occurrence: int
    hidden: tuple[int, str] | None = None  # when, and as what


@dataclass
class Day:
    """What will be written. `states` are (from_s, to_s, canonical state) of the packer, without gaps."""

    states: list[tuple[int, int, str]] = field(default_factory=list)
    shifts: list[tuple[str, int, int]] = field(
        default_factory=lambda: [("early", 900, 14_400), ("late", 14_400, 27_900)]
    )
    breaks: list[Span] = field(default_factory=lambda: [(7_200, 8_100), (21_600, 22_500)])
    parts: list[tuple[float, bool, str]] = field(default_factory=list)  # second, good, product
    again: set[int] = field(default_factory=set)  # indices of the parts that went through twice
    faults: list[dict[str, Any]] = field(default_factory=list)
    signals: dict[str, dict[int, float]] = field(default_factory=dict)  # metric to {second: value}
    calls: list[Call] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)
    acks: list[list[Any]] = field(default_factory=list)
    audits: list[dict[str, Any]] = field(default_factory=list)
    commands: list[list[Any]] = field(default_factory=list)  # of the broker's log
    timeline: list[dict[str, Any]] = field(default_factory=list)
    host_rows: list[list[Any]] = field(default_factory=list)
    site: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    seconds: int = SECONDS
    mute: bool = False  # the bridge sends nothing at all

    def write(self, folder: Path) -> Path:
        """Write the run folder."""
        folder.mkdir(parents=True, exist_ok=True)
        ledger, rows = self.ledger_rows(), self.host_log()
        samples = sum(row[0] == "S" for row in ledger)
        end = at(self.seconds)
        totals = {"samples": samples, "events": len(ledger) - samples}
        write_lines(folder / "ledger.jsonl", [self.header, *ledger, ["Z", end, totals]])
        held = sum(row[0] == "H" for row in rows)
        write_lines(folder / "host.jsonl", [*rows, ["Z", end, {"samples": held, "duplicates": 0}]])
        seen = [["M", ns, *message] for _, ns, _, *message in self.commands]  # of all that passed
        write_lines(folder / "observer.jsonl", [*seen, ["Z", end, {"messages": len(seen)}]])
        write_lines(folder / "timeline.jsonl", self.timeline)
        people = [*self.acks, *(["K", end - S, "audit", audit] for audit in self.audits)]
        write_lines(folder / "people.jsonl", [*people, ["Z", end, {}]])
        write_lines(folder / "cmms.jsonl", [*self.orders, ["Z", end, {"work_orders": len(self.orders)}]])
        (folder / "site.yaml").write_text(yaml.safe_dump(self.site, sort_keys=False))
        manifest = {"scenario": "shift", "seed": 7, "status": "complete"}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    def samples(self) -> list[tuple[int, str, str, Any]]:
        """(second, device, metric, raw value) of everything that the line's controllers offer."""
        found: list[tuple[int, str, str, Any]] = []
        for begin, _, state in self.states:
            found.append((begin, PACKER, "state", NUMBERS[state]))
        for metric, which in (("total", None), ("good", True), ("reject", False)):
            shown: dict[int, int] = {0: 0}
            count = 0
            for second, good, _ in self.parts:
                count += which is None or good is which
                shown[-int(-second // 1)] = count
            values = list(shown.items())
            found += [
                (s, PACKER, metric, n) for i, (s, n) in enumerate(values) if not i or values[i - 1][1] != n
            ]
        seconds = [0, *(-int(-self.parts[index][0] // 1) for index in sorted(self.again))]
        found += [(second, PACKER, "reworked", count) for count, second in enumerate(seconds)]
        for metric, values_at in self.signals.items():
            found += [(second, FILLER, metric, value) for second, value in sorted(values_at.items())]
        return sorted(found, key=lambda row: (row[0], INDEX[row[1], row[2]]))

    def ledger_rows(self) -> list[list[Any]]:
        rows: list[list[Any]] = [["S", at(s), INDEX[d, m], value, 0] for s, d, m, value in self.samples()]
        before = 4
        for begin, _, state in self.states:
            data = {"from": before, "to": NUMBERS[state], "reason": 0}
            before = NUMBERS[state]
            rows.append(["P", at(begin), "state", "packer", data])
        for number, (second, good, product) in enumerate(self.parts):
            part = {"id": number, "product": product}
            if number in self.again:
                first = part | {"good": False, "rework": False, "disposition": "rework"}
                rows.append(["P", at(second - 1.5), "part", "packer", first])
            data = part | {"good": good, "rework": number in self.again}
            rows.append(
                ["P", at(second), "part", "packer", data | {"disposition": "good" if good else "scrap"}]
            )
        for name, begin, end in self.shifts:
            rows += [
                ["P", at(s), "shift", "line", {"phase": p, "name": name}]
                for s, p in ((begin, "start"), (end, "end"))
            ]
        for begin, end in self.breaks:
            rows += [
                ["P", at(s), "break", "line", {"phase": p, "name": "b"}]
                for s, p in ((begin, "start"), (end, "end"))
            ]
        for fault in self.faults:
            told = {
                key: fault[key] for key in ("id", "mode", "critical", "alarms", "response_s", "maintenance")
            }
            for phase in ("onset", "repaired"):
                rows.append(["P", at(fault[phase]), "fault", "filler", {"phase": phase, **told}])
        swap = {"equipment": "HAM-F", "physical_asset": "SN-2"}
        rows.append(["P", at(SWAP_S), "swap", "filler", swap])
        return sorted(rows, key=lambda row: row[1])

    def host_log(self) -> list[list[Any]]:
        rows: list[list[Any]] = [["E", START_NS, "online", {"edge": EDGE}]]
        if self.mute:
            return rows
        for second, device, metric, raw in self.samples():
            value = STATES[raw] if metric == "state" else raw
            rows.append(
                held(at(second) + 200 * MS, device, metric, at(second) // MS, value, birth=second == 0)
            )
        for name, (_, _, _, _) in ALARMS.items():
            rows.append(held(at(1), FILLER, f"alarm/{name}", at(1) // MS, "normal", birth=True))
        for call in self.calls:
            rows += _alarm_rows(call)
        rows += _rates(self.calls)
        for order in self.orders:
            rows += _order_rows(order)
        for report in self.reports:
            ts_ms = report["as_of_ms"]
            rows.append(held(ts_ms * MS + S, "", "oee/line1/report", ts_ms, report))
            for metric, figure in doubles_of(report):
                rows.append(held(ts_ms * MS + S, "", metric, ts_ms, figure))
        return sorted([*rows, *self.host_rows], key=lambda row: row[1])

    def silenced(self) -> Day:
        """The same day with a bridge that says nothing."""
        self.calls, self.reports, self.orders, self.acks, self.mute = [], [], [], [], True
        return self

    def call(self, number: int, alarm: str = "temperature_high") -> Call:
        """The `number`-th call of an alarm."""
        return [call for call in self.calls if call.alarm == alarm][number]

    def drop_calls(self, unwanted: Callable[[Call], bool]) -> None:
        """The bridge never makes these, nor anything that follows from them."""
        gone = [call for call in self.calls if unwanted(call)]
        self.calls = [call for call in self.calls if call not in gone]
        keys = {(call.alarm, call.occurrence) for call in gone}
        self.orders = [order for order in self.orders if (order["alarm"], order["occurrence"]) not in keys]
        self.acks = [ack for ack in self.acks if (ack[3]["alarm"], ack[3]["occurrence"]) not in keys]


def held(ns: int, device: str, metric: str, ts_ms: int, value: Any, *, birth: bool = False) -> list[Any]:
    """One row of the host's log; a report is given as what it says."""
    value = json.dumps(value) if isinstance(value, dict) else value
    return ["H", ns, EDGE, device, metric, ts_ms, value, 192, False, "birth" if birth else "data"]


def _alarm_rows(call: Call) -> list[list[Any]]:
    """What the bridge publishes of a call: each state, the ordinal, and by whom it was acknowledged."""
    moves: list[tuple[int, str]] = [(call.raised_ms, "unacked")]
    acked, cleared = call.acked_ms, call.cleared_ms
    if call.hidden is not None:
        moves += [(cleared, "rtn_unacked")] if cleared is not None and cleared < call.hidden[0] else []
        moves.append(call.hidden)
    elif acked is not None and (cleared is None or acked <= cleared):
        moves.append((acked, "acked"))
        moves += [(cleared, "normal")] if cleared is not None else []
    elif cleared is not None:
        moves.append((cleared, "rtn_unacked"))
        moves += [(acked, "normal")] if acked is not None else []
    metric = f"alarm/{call.alarm}"
    rows = [held(ms * MS + 300 * MS, FILLER, metric, ms, state) for ms, state in moves]
    if acked is not None and call.hidden is None:
        rows.append(held(acked * MS + 300 * MS, FILLER, f"{metric}/ack", acked, "ann"))
    called = held(
        call.raised_ms * MS + 300 * MS, FILLER, f"{metric}/occurrence", call.raised_ms, call.occurrence
    )
    return [*rows, called]


def _rates(calls: list[Call]) -> list[list[Any]]:
    """What the edge node says of all alarms: the calls of the last ten minutes; nothing floods and nothing chatters."""
    edges = [(call.raised_ms + late, step) for call in calls for late, step in ((0, 1), (600_000, -1))]
    counts: dict[int, int] = {}
    count = 0
    for ms, step in sorted(edges):
        counts[ms] = count = count + step
    rows = [held(ms * MS + 300 * MS, "", "alarms/in_10_min", ms, n) for ms, n in counts.items()]
    for ms in list(counts)[:1]:
        rows.append(held(ms * MS + 300 * MS, "", "alarms/flood", ms, False))
        rows.append(held(ms * MS + 300 * MS, "", "alarms/chattering", ms, ""))
    return rows


def _order_rows(order: dict[str, Any]) -> list[list[Any]]:
    """What the bridge publishes of an order: each state as soon as it has asked for it."""
    metric = f"work_order/{order['alarm']}"
    first_ms = order["history"][0][0]
    said = [(first_ms - 10_000, "pending")]
    said += [(ms + FOLLOW_MS, f"{order['id']} {state}") for ms, state, _ in order["history"]]
    return [held(ms * MS + 300 * MS, FILLER, metric, ms, value) for ms, value in said]


def healthy(more: Callable[[Day], None] | None = None) -> Day:
    """A day without fault of the bridge; `more` disturbs its line further."""
    day = Day()
    _work(day)
    _disturb(day)
    if more is not None:
        more(day)
    day.header = header()
    day.site = site()
    day.timeline = [
        {"id": "warm_up", "kind": "phase", "start_ns": START_NS, "end_ns": at(60)},
        {"id": "drain", "kind": "phase", "start_ns": at(SECONDS - 300), "end_ns": at(SECONDS)},
    ]
    for name, (metric, _, _, needs_order) in ALARMS.items():
        for number, (begin, end) in enumerate(_excursions(day.signals[metric], name), start=1):
            call = _called(name, begin, end, number)
            day.calls.append(call)
            who = {"device": FILLER, "alarm": name, "occurrence": number, "operator": "ann", "seen_ns": 0}
            day.acks.append(["K", (call.acked_ms or 0) * MS - 500 * MS, "ack", who])
            if needs_order:
                day.orders.append(order_of(day, call))
    day.calls.sort(key=lambda call: call.raised_ms)
    day.acks.sort(key=lambda ack: ack[1])
    day.reports = [report_of(day, name, begin, end) for name, begin, end in day.shifts]
    for report in day.reports:  # a person with a clipboard misses a few
        counts = {"produced": report["produced"] - 7, "good": report["good"] - 7, "reject": report["reject"]}
        day.audits.append({"shift": report["shift"], **counts, "run_s": report["apt_s"] + 40, "stops": 6})
    return day


def _work(day: Day) -> None:
    """The packer: fifteen minutes in each hour and a half are none of running; a part each 10 s (A) or 12.5 s (B)."""
    cycle = [(0, 3_000, "run"), (3_000, 3_360, "fault"), (3_360, 4_200, "run"), (4_200, 4_740, "changeover"),
             (4_740, 5_100, "idle"), (5_100, 5_400, "run")]  # fmt: skip
    for lap in range(-(-day.seconds // 5_400)):
        for begin, end, state in cycle:
            if lap * 5_400 + begin < day.seconds:
                day.states.append((lap * 5_400 + begin, min(lap * 5_400 + end, day.seconds), state))
    for begin, end, state in day.states:
        product = "A" if (begin // 5_400) % 2 == 0 else "B"
        step = 10.0 if product == "A" else 12.5
        second = begin + 5.2
        while state == "run" and second < end - 1:
            if not any(pause <= second < until for pause, until in day.breaks):
                day.parts.append((second, len(day.parts) % 50 != 49, product))
            second += step
    day.again = set(range(20, len(day.parts), 40))


def _disturb(day: Day) -> None:
    """Sixteen faults of five minutes that all three alarms tell one after the other, and two spikes of each between."""
    for metric, quiet in QUIET.items():
        day.signals[metric] = {second: quiet + second % 7 * 0.01 for second in range(0, day.seconds, 30)}
    for number in range(FAULTS):
        onset = 1_203 + 1_650 * number
        fault = {"id": f"F{number:04d}", "mode": "heater", "critical": number % 2 == 0, "response_s": 600.0}
        fault |= {"alarms": list(ALARMS), "maintenance": True, "onset": onset, "repaired": onset + 300}
        day.faults.append(fault)
        for metric, late in zip(BEYOND, (1, 90, 150), strict=True):
            excursion(day, metric, onset + late, onset + 300)
        for metric in BEYOND:
            for late in (500, 1_150):
                excursion(day, metric, onset + late, onset + late + 2)
    excursion(day, "temperature", 2_551, 2_562)  # the one spike that outlasts the on-delay


def excursion(day: Day, metric: str, begin: int, end: int) -> None:
    """The metric is beyond its limit in [begin, end), in slightly different values, and as before from then on."""
    values = day.signals[metric]
    for second in [second for second in values if begin <= second < end]:
        del values[second]
    for index, second in enumerate(range(begin, end, 20)):
        values[second] = BEYOND[metric] + index * 0.015625
    values[end] = QUIET[metric] + 0.005


def _excursions(values: dict[int, float], alarm: str) -> list[Span]:
    """Spans beyond the limit that last longer than the on-delay."""
    _, kind, limit, _ = ALARMS[alarm]
    found, since = [], None
    for second, value in sorted(values.items()):
        beyond = value > limit if kind == "high" else value < limit
        if beyond and since is None:
            since = second
        elif not beyond and since is not None:
            found.append((since, second))
            since = None
    return [(begin, end) for begin, end in found if end - begin >= ON_DELAY_S]


def _called(alarm: str, begin: int, end: int, occurrence: int) -> Call:
    raised = at(begin + ON_DELAY_S) // MS
    return Call(alarm, raised, raised + ACK_S * 1000, at(end + OFF_DELAY_S) // MS, occurrence)


def order_of(day: Day, call: Call) -> dict[str, Any]:
    """The work order of a call: reason and the last five minutes of temperature and pressure."""
    metric, _, limit, _ = ALARMS[call.alarm]
    second = (call.raised_ms - at(0) // MS) / 1000
    values = day.signals[metric]
    value = values[max(moment for moment in values if moment <= second)]
    context = [
        {
            "metric": f"{FILLER}/{name}",
            "unit": "",
            "samples": [
                [at(moment) // MS, value, 192]
                for moment, value in sorted(day.signals[name].items())
                if second - CONTEXT_S <= moment <= second
            ],
        }
        for name in ("temperature", "pressure")
    ]
    reason = {
        "metric": f"{FILLER}/{metric}",
        "limit": limit,
        "value": value,
        "unit": "",
        "text": f"Look at {metric}",
    }
    created = call.raised_ms + ORDER_S * 1000
    return {
        "id": f"WO-{call.alarm}-{call.occurrence}", "state": "closed", "equipment": "HAM-F",
        "physical_asset": "SN-1" if second < SWAP_S else "SN-2", "alarm": call.alarm, "device": FILLER,
        "occurrence": call.occurrence, "priority": "high", "raised_ms": call.raised_ms, "created_ms": created,
        "owner": "mechanics", "reason": reason, "context": context,
        "history": [[created, "open", "bridge"], [created + 200_000, "closed", "crew"]],
    }  # fmt: skip
