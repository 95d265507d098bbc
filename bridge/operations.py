"""What the bridge derives from its samples: alarms, OEE reports, work orders. The engines meet the journal here.

Everything derived is written in one transaction with its cause, and with what its engine must remember:
an alarm's state, its annunciation and an order of the outbox as they change. The history behind OEE and order
contexts is stored now and then, and read again from the journal's rows, which this target of its own holds back for it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shakedown.bridge.core.alarm import CommandRefused
from shakedown.bridge.core.alarm_rates import PAGES, Rates
from shakedown.bridge.core.alarm_rule import Transition
from shakedown.bridge.core.alarm_states import State
from shakedown.bridge.core.alarms import Alarms
from shakedown.bridge.core.context import SLACK_MS, Context
from shakedown.bridge.core.model import Model, Sample, Value
from shakedown.bridge.core.oee_shifts import Report, Shifts
from shakedown.bridge.core.work_orders import WorkOrder, WorkOrders
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.operations_model import OperationsModel

TARGET = "bridge/operations"
"""The journal's target whose cursor holds back the rows that a restart needs; no north can have its name."""

STORE_S = 60.0
"""How often the history of OEE is stored."""

NODE_NS = 30 * 1_000_000_000
"""How soon the end of a flood is told when nothing else happens."""

READ_ROWS = 5000
COMMAND_MAX = 1000

ORDER_KEY, ALARM_KEY, OEE_KEY = "bridge/order/", "bridge/alarm/", "bridge/oee"
RATES_KEY, NODE_KEY = "bridge/rates/", "bridge/rates"


@dataclass(slots=True)
class Outcome:
    """What one step has led to, to be written in one transaction."""

    samples: list[Sample] = field(default_factory=list)
    entries: dict[str, bytes | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.samples or self.entries)


class Operations:
    """The engines of one edge node. `take` and `tick`, then write the `outcome`; `undo` it if that failed."""

    def __init__(
        self,
        compiled: OperationsModel,
        model: Model,
        *,
        alarms: type[Alarms] = Alarms,
        shifts: type[Shifts] = Shifts,
        work_orders: type[WorkOrders] = WorkOrders,
    ) -> None:
        self.compiled = compiled
        self.alarms = alarms(compiled.rules)
        self.shifts = {line.name: shifts(line) for line in compiled.lines}
        self.work_orders = work_orders()
        self.rates = Rates()
        self.reports: dict[str, dict[str, Any]] = {}  # newest of each line
        needed = {i for rule in compiled.rules if rule.work_order for i in rule.context_ids}
        self.context = Context(needed if compiled.has_cmms else (), compiled.context_ms)
        self._model = model
        self._lost: Outcome | None = None
        self._cursors: deque[tuple[int, int]] = deque()  # (when, row) of what was stored
        self._reports: list[Report] = []
        self._extra: list[Sample] = []
        self._node: dict[str, Value] = {}
        self._node_ns = 0
        self._takers = self._index()
        self._first = self.alarms.state_ids
        self._commands = {
            i: (device, name.split("/"))
            for (device, name), i in compiled.ids.items()
            if model.metrics[i].is_command
        }

    def _index(self) -> list[tuple[Callable[[Sample], Any], ...]]:
        """Who wants to see the samples of a metric, by metric_id: what nobody wants costs one look."""
        takers: list[list[Callable[[Sample], Any]]] = [[] for _ in self._model.metrics]
        engines = [(self.alarms.metric_ids, self.alarms.take), (self.context.metric_ids, self.context.take)]
        for metric_ids, take in [*engines, *((s.line.metric_ids, s.take) for s in self.shifts.values())]:
            for metric_id in metric_ids:
                takers[metric_id].append(take)
        return [tuple(found) for found in takers]

    # ---- what happens

    def take(self, samples: Sequence[Sample]) -> None:
        """Show samples to the engines that look at them.

        They come signal by signal: the engines see them in order of time, the states that suppress first, or they
        would hold values of one signal against what another one shows later.
        """
        takers, first = self._takers, self._first
        wanted = [sample for sample in samples if takers[sample[0]]]
        if len(wanted) > 1:
            wanted.sort(key=lambda sample: (sample[1], sample[0] not in first))
        for sample in wanted:
            for take in takers[sample[0]]:
                take(sample)

    def tick(self, now_ns: int) -> None:
        """Let time pass."""
        self.alarms.tick(now_ns)
        for shifts in self.shifts.values():
            self._reports += shifts.tick(now_ns)

    @property
    def due_ns(self) -> int | None:
        """When `tick` is next needed."""
        due = [shifts.due_ns for shifts in self.shifts.values()]
        if (alarm_due := self.alarms.due_ns) is not None:
            due.append(alarm_due)
        return min(due, default=None)

    def reach(self, south: str, *, is_up: bool) -> None:
        """A server below has come or gone."""
        self.alarms.reach([metric.metric_id for metric in self._model.of_south(south)], is_up=is_up)

    def command(self, metric_id: int, value: Value, now_ns: int) -> None:
        """Carry out a DCMD on one of the command metrics; raises CommandRefused."""
        device, (_, name, verb) = self._commands[metric_id]
        if not isinstance(value, str) or len(value) > COMMAND_MAX:
            raise CommandRefused(
                f"{verb} of {device}/{name} takes a text of at most {COMMAND_MAX} characters"
            )
        if verb in ("shelve", "remove"):
            self.operate(verb, device, name, now_ns, **_hiding(verb, value))
        else:
            self.operate(verb, device, name, now_ns, operator=value)

    def operate(
        self, verb: str, device: str, name: str, now_ns: int, *,
        operator: str = "", until_ms: int = 0, reason: str = "",
    ) -> None:  # fmt: skip
        """What an operator may do to an alarm, however the command came; raises CommandRefused."""
        alarms = self.alarms
        match verb:
            case "ack":
                alarms.ack(device, name, operator, now_ns)
            case "reset":
                alarms.reset(device, name, operator, now_ns)
            case "confirm":
                alarms.confirm(device, name, operator, now_ns)
            case "shelve":
                alarms.shelve(device, name, operator, until_ms * 1_000_000, reason, now_ns)
            case "remove":
                alarms.remove(device, name, operator, until_ms * 1_000_000, reason, now_ns)
            case "return":
                return self.operate("remove", device, name, now_ns, operator=operator, reason=reason)
            case _:
                raise CommandRefused(f"there is no command {verb!r}")
        metric_id = self.compiled.ids.get((device, f"alarm/{name}/{verb}"))
        if metric_id is not None:  # who has done it is on record beside what it did
            said = operator
            if verb in ("shelve", "remove"):
                said = _json({"operator": operator, "reason": reason, "until_ms": until_ms})
            self._extra.append(Sample(metric_id, now_ns // 1_000_000, said))

    # ---- what it leads to

    def outcome(self, now_ns: int) -> Outcome:
        """Everything since the last call; nothing of it is known to anybody yet."""
        outcome, self._lost = self._lost or Outcome(), None
        transitions, touched = self.alarms.drain()
        for transition in transitions:
            self._transition(transition, outcome, now_ns)
        if transitions or (self._node and now_ns >= self._node_ns + NODE_NS):
            self._say_of_node(now_ns, outcome)
        outcome.samples += self._extra
        self._extra = []
        for alarm in touched:
            key = f"{ALARM_KEY}{alarm.rule.device}/{alarm.rule.name}"
            outcome.entries[key] = msgspec.msgpack.encode(alarm.save())
        for place, page in self.rates.drain().items():
            outcome.entries[f"{RATES_KEY}{place}"] = msgspec.msgpack.encode(page)
        for report in self._reports:
            self._report(report, outcome)
        self._reports = []
        self._work_orders(outcome)
        return outcome

    def undo(self, outcome: Outcome) -> None:
        """It could not be written: it comes with the next one. Several may have been under way."""
        lost = self._lost or Outcome()
        self._lost = Outcome(lost.samples + outcome.samples, lost.entries | outcome.entries)

    def _transition(self, transition: Transition, outcome: Outcome, now_ns: int) -> None:
        rule, ids, ts_ms = transition.rule, self.compiled.ids, transition.ts_ns // 1_000_000
        device, base = rule.device, f"alarm/{rule.name}"
        outcome.samples.append(Sample(ids[device, base], ts_ms, transition.state.value))
        if transition.state is State.UNACKED:
            outcome.samples.append(Sample(ids[device, f"{base}/occurrence"], ts_ms, transition.occurrence))
        if transition.annunciates:
            self.rates.annunciated(rule.key, rule.priority, transition.ts_ns)
            if rule.work_order and self.compiled.has_cmms:
                self.work_orders.raised(self._work_order(transition), now_ns)
        elif transition.state is State.ACKED:
            self.rates.acked(rule.key, transition.ts_ns)
        elif transition.state is not State.UNACKED:
            self.rates.cleared(rule.key, transition.ts_ns)

    def _work_order(self, transition: Transition) -> WorkOrder:
        rule = transition.rule
        metric = self._model.metrics[rule.metric_id]
        equipment, owner = self.compiled.equipment[rule.device]
        reason = {
            "metric": f"{metric.device}/{metric.name}",
            "limit": rule.limit,
            "value": transition.value,
            "unit": metric.properties.get("engUnit", ""),
            "text": rule.text,
        }
        raised_ms = transition.ts_ns // 1_000_000
        model = self._model
        key = f"{model.group_id}/{model.edge_node_id}/{rule.device}/{rule.name}/{transition.occurrence}/{raised_ms}"
        return WorkOrder(
            key,
            rule.device,
            rule.name,
            transition.occurrence,
            rule.priority,
            raised_ms,
            equipment,
            owner,
            reason,
        )

    def context_of(self, order: WorkOrder) -> list[dict[str, Any]]:
        """The last minutes before an order's alarm, one entry a signal."""
        rule = self.alarms.alarms[order.place].rule
        found = []
        for metric_id in rule.context_ids:
            metric = self._model.metrics[metric_id]
            name, unit = f"{metric.device}/{metric.name}", metric.properties.get("engUnit", "")
            found.append(
                {"metric": name, "unit": unit, "samples": self.context.last(metric_id, order.raised_ms)}
            )
        return found

    def _work_orders(self, outcome: Outcome) -> None:
        changed, news = self.work_orders.drain()
        for (device, alarm), saved in changed.items():
            outcome.entries[f"{ORDER_KEY}{device}/{alarm}"] = msgspec.msgpack.encode(saved) if saved else None
        for order, ns in news:
            metric_id = self.compiled.ids[order.device, f"work_order/{order.alarm}"]
            outcome.samples.append(Sample(metric_id, ns // 1_000_000, f"{order.id} {order.state}".strip()))

    def _report(self, report: Report, outcome: Outcome) -> None:
        ids, ts_ms = self.compiled.ids, report.ts_ns // 1_000_000
        self.reports[report.line] = report.content
        outcome.samples.append(Sample(ids["", f"oee/{report.line}/report"], ts_ms, _json(report.content)))
        if report.status != "restated":
            for name in ("availability", "effectiveness", "quality", "oee"):
                metric_id = ids["", f"oee/{report.line}/{name}"]
                outcome.samples.append(Sample(metric_id, ts_ms, report.content[name]))

    def _say_of_node(self, now_ns: int, outcome: Outcome) -> None:
        self._node_ns = now_ns
        self.rates.elapse(now_ns)
        chattering = ", ".join(f"{device}/{name}" for device, name in self.rates.chattering(now_ns))
        values: dict[str, Value] = {
            "alarms/flood": self.rates.is_flood,
            "alarms/in_10_min": self.rates.in_window,
            "alarms/chattering": chattering,
        }
        changed = {name: value for name, value in values.items() if self._node.get(name) != value}
        for name, value in changed.items():
            outcome.samples.append(Sample(self.compiled.ids["", name], now_ns // 1_000_000, value))
        if changed:
            self._node |= changed
            outcome.entries[NODE_KEY] = msgspec.msgpack.encode(self._node)

    # ---- over a restart

    async def store(self, journal: Journal, now_ns: int) -> None:
        """Store the history, and let go of rows that no restart needs any more. Raises JournalError."""
        row = journal.last_row
        saved = {name: shifts.save() for name, shifts in self.shifts.items()}
        if saved:
            await journal.append([], {OEE_KEY: msgspec.msgpack.encode(saved)})
        self._cursors.append((now_ns, row))
        oldest_ns = now_ns - (self.compiled.context_ms + SLACK_MS) * 1_000_000
        ready = 0
        while self._cursors and self._cursors[0][0] <= oldest_ns:
            ready = self._cursors.popleft()[1]
        if ready:
            await journal.confirm(TARGET, ready)

    async def recall(self, journal: Journal) -> None:
        """Continue where the journal says that the engines were."""
        for device, name in self.alarms.alarms:
            if stored := journal.get(f"{ALARM_KEY}{device}/{name}"):
                self.alarms.restore(device, name, msgspec.msgpack.decode(stored))
        if self.compiled.rules:
            pages = (journal.get(f"{RATES_KEY}{place}") for place in range(PAGES))
            self.rates.restore(msgspec.msgpack.decode(page) for page in pages if page)
            self._node = msgspec.msgpack.decode(journal.get(NODE_KEY) or b"\x80")
        for stored in journal.entries(ORDER_KEY).values():
            saved = msgspec.msgpack.decode(stored)
            if (saved["device"], f"work_order/{saved['alarm']}") in self.compiled.ids:
                self.work_orders.restore(saved)
        for name, saved in msgspec.msgpack.decode(journal.get(OEE_KEY) or b"\x80").items():
            if name in self.shifts:
                self.shifts[name].restore(saved)
        await self._read_again(journal)

    async def _read_again(self, journal: Journal) -> None:
        """History that was journaled but not stored: for OEE and contexts, never for alarms."""
        engines = [(self.context.metric_ids, self.context.take)]
        engines += [(shifts.line.metric_ids, shifts.take) for shifts in self.shifts.values()]
        reports = {
            self.compiled.ids["", f"oee/{name}/report"]: shifts for name, shifts in self.shifts.items()
        }
        row = journal.watermark(TARGET)
        while rows := await journal.read(TARGET, row, READ_ROWS):
            for _, sample in rows:
                for metric_ids, take in engines:
                    if sample.metric_id in metric_ids:
                        take(sample)
                if sample.metric_id in reports:
                    reports[sample.metric_id].reported(json.loads(str(sample.value)))
            row = rows[-1][0]


def _json(content: Any) -> str:
    """Canonical: sorted keys, no spaces."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _hiding(verb: str, text: str) -> dict[str, Any]:
    """`{"operator", "until_ms", "reason"}` of a command that hides an alarm; raises CommandRefused."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    kinds = {"operator": str, "until_ms": int, "reason": str}
    if not isinstance(found, dict) or found.keys() - kinds.keys() or "operator" not in found:
        raise CommandRefused(f'{verb} takes {{"operator": ..., "until_ms": ..., "reason": ...}}')
    for name, value in found.items():
        if type(value) is not kinds[name]:
            raise CommandRefused(f"{verb}: {name} is not a {_WORD[kinds[name]]}")
    return found


_WORD = {str: "text", int: "number"}
