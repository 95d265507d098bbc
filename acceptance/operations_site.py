"""What `site.yaml` promises of alarms, OEE and work orders, as the judge reads it (docs/operations.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from shakedown.acceptance.site import Topic
from shakedown.acceptance.sparkplug import Value

PRIORITIES = ("critical", "high", "medium", "low")
BAD_AFTER_S = 60.0
SHOWN = ("text", "cause", "consequence", "response", "respond_s")


@dataclass(frozen=True)
class AlarmRule:
    """One alarm: the metric that it watches, and when it speaks."""

    name: str
    topic: Topic
    unit: str
    kind: str  # high, low or state; bad: the sensor itself
    limit: float | str | bool  # of a state: its name, or the truth value of a Boolean metric
    priority: str
    on_delay_s: float
    work_order: bool
    suppress_in: frozenset[str]
    text: str
    context: frozenset[str] = frozenset()  # further metrics that explain it
    deadband: float = 0.0
    off_delay_s: float = 0.0
    latching: bool = False
    re_alarm_s: float = 0.0  # 0: never
    bad_after_s: float = BAD_AFTER_S  # a signal, or the state that suppresses, is not usable for so long
    shown: dict[str, Any] = field(default_factory=dict)  # what people read beside it (docs/alarms.md)

    @property
    def device(self) -> str:
        """The device that publishes `alarm/<name>`."""
        return self.topic.device

    @property
    def metric(self) -> str:
        """`device/metric` that it watches."""
        return self.topic.name

    def beyond(self, value: Value) -> bool:
        """Whether a value, as the enterprise sees it, is beyond the limit."""
        if self.kind == "state":
            return value == self.limit  # a Boolean may come as 0 or 1
        if not isinstance(value, (int, float)) or isinstance(self.limit, str):
            return False
        return value > self.limit if self.kind == "high" else value < self.limit

    def back(self, value: Value) -> bool:
        """Whether a value is behind the deadband, and so normal again."""
        if self.kind == "state":
            return value != self.limit
        if not isinstance(value, (int, float)) or isinstance(self.limit, str):
            return False
        return (
            value <= self.limit - self.deadband
            if self.kind == "high"
            else value >= self.limit + self.deadband
        )


@dataclass(frozen=True)
class WorkUnit:
    """One machine of a line, and what it shows of itself; None where it has no such metric."""

    name: str  # its device
    topics: dict[str, Topic]  # by key of MADE_FROM


@dataclass(frozen=True)
class OeeLine:
    """One line whose OEE is reported: its work units in the order of flow, of which one counts (docs/oee.md)."""

    name: str
    units: tuple[WorkUnit, ...]
    counting: WorkUnit
    is_line: bool = False  # else the report is of that one work unit
    reasons: dict[str, frozenset[Any]] = field(default_factory=dict)  # starved, blocked, minor_stop
    lineage: dict[str, Any] = field(default_factory=lambda: {"ideal_s": {}})  # what its reports are made from
    rolls_over_at: int = 1 << 32
    plan: dict[str, Any] = field(default_factory=dict)  # planned, offset_s, time_zone and holidays

    @property
    def state(self) -> Topic:
        return self.counting.topics["state"]

    @property
    def produced(self) -> Topic:
        return self.counting.topics["produced"]

    @property
    def order(self) -> Topic | None:
        """Where there is one, idle time inside an order is ADET."""
        return self.counting.topics.get("order")


@dataclass(frozen=True)
class WorkOrders:
    """Where work orders go, and what they carry."""

    context_s: float
    equipment: dict[str, str]  # equipment id of each device
    owners: dict[str, str] = field(default_factory=dict)  # of each device, empty where nobody is named
    is_embedded: bool = True  # else the site's own template says what of an order is sent


@dataclass(frozen=True)
class OperationsSite:
    """The parts of `site.yaml` that this half of the criteria is about; what it does not name is not judged."""

    alarms: tuple[AlarmRule, ...] = ()
    lines: tuple[OeeLine, ...] = ()
    work_orders: WorkOrders | None = None
    alarm_slo_s: float = 2.0
    units: dict[str, str] = field(default_factory=dict)  # of each `device/metric`
    beside: tuple[
        AlarmRule, ...
    ] = ()  # other rules for the same line, that the scenario wants shown beside these
    has_admin: bool = False  # people may command over the bridge's own HTTP, and nobody records it


def read_operations_site(
    site: dict[str, Any], topics: tuple[Topic, ...], beside: dict[str, Any] | None = None
) -> OperationsSite:
    """Compile the keys `alarms`, `oee`, `cmms` and `equipment`, and the alarms `beside`, where a scenario has any.

    Raises KeyError, TypeError or ValueError.
    """
    by_name = {topic.name: topic for topic in topics}
    units = _units(site)
    alarms, others = (
        tuple(_alarm(name, body, by_name, units) for name, body in (rules or {}).items())
        for rules in (site.get("alarms"), beside)
    )
    lines = tuple(_line(site, str(name), body, by_name) for name, body in (site.get("oee") or {}).items())
    cmms = site.get("cmms")
    orders = None
    if cmms:
        equipment = {
            str(device): str(body["equipment"]) for device, body in (site.get("equipment") or {}).items()
        }
        owners = {str(d): str(body.get("owner") or "") for d, body in (site.get("equipment") or {}).items()}
        is_embedded = cmms.get("adapter", "embedded") == "embedded"
        orders = WorkOrders(float(cmms.get("context_s", 300.0)), equipment, owners, is_embedded)
    slo_s = float((site.get("classes") or {}).get("alarm", 2.0))
    return OperationsSite(alarms, lines, orders, slo_s, units, others, bool(site.get("admin")))


COUNTERS = ("produced", "good", "reject", "rework")
MADE_FROM = ("state", *COUNTERS, "product", "order", "order_quantity", "reason")
BITS = {"Int8": 7, "UInt8": 8, "Int16": 15, "UInt16": 16, "Int32": 31, "Int64": 63, "UInt64": 64}
REASONS = ("starved", "blocked", "minor_stop")


def _line(site: dict[str, Any], name: str, body: dict[str, Any], topics: dict[str, Topic]) -> OeeLine:
    metrics = {key: str(body[key]) for key in MADE_FROM if body.get(key)}
    device = topics[metrics["state"]].device
    names = [str(unit) for unit in body.get("work_units") or ()]
    units = {unit: _unit(unit, device, metrics, topics) for unit in names or [device]}
    said = body.get("reasons") or {}
    reasons = {kind: list(said.get(kind) or ()) for kind in REASONS}
    lineage: dict[str, Any] = {
        "metrics": metrics,
        "tags": {key: _tag(site, metric) for key, metric in metrics.items()},
        "ideal_s": {str(product): seconds for product, seconds in (body.get("ideal_s") or {}).items()},
    }
    if names:
        lineage |= {"work_unit": device, "work_units": names, "reasons": reasons}
    values = {kind: frozenset(reasons[kind]) for kind in REASONS}
    plan = {key: body[key] for key in ("planned", "offset_s", "time_zone", "holidays") if body.get(key)}
    bits = BITS.get(topics[metrics["produced"]].datatype, 32)
    rolls_over_at = int(body.get("rolls_over_at") or 1 << bits)
    return OeeLine(
        name, tuple(units.values()), units[device], bool(names), values, lineage, rolls_over_at, plan
    )


def _unit(name: str, counting: str, metrics: dict[str, str], topics: dict[str, Topic]) -> WorkUnit:
    """A work unit; those that do not count for the line have metrics of the same names."""
    named = {
        key: metric if name == counting else f"{name}/{metric.partition('/')[2]}"
        for key, metric in metrics.items()
    }
    return WorkUnit(name, {key: topics[metric] for key, metric in named.items() if metric in topics})


def _tag(site: dict[str, Any], metric: str) -> str:
    """Server and node of a metric, as a lineage says it."""
    device, _, name = metric.partition("/")
    cell, _, asset = device.partition(".")
    entry = site["cells"][cell][asset]["metrics"][name]
    return f"{entry.get('south')} {entry.get('node')}"


def _units(site: dict[str, Any]) -> dict[str, str]:
    return {
        f"{cell}.{asset}/{name}": str(metric.get("unit") or "")
        for cell, assets in site["cells"].items()
        for asset, body in assets.items()
        for name, metric in body["metrics"].items()
    }


def _alarm(name: str, body: dict[str, Any], topics: dict[str, Topic], units: dict[str, str]) -> AlarmRule:
    kinds = [kind for kind in ("high", "low", "state") if body.get(kind) is not None]
    if len(kinds) != 1:
        raise ValueError(f"alarm {name!r} has {kinds or 'no limit'}: it takes one of high, low and state")
    kind = kinds[0]
    priority = str(body.get("priority", "medium"))
    if priority not in PRIORITIES:
        raise ValueError(f"alarm {name!r} has priority {priority!r}: one of {', '.join(PRIORITIES)}")
    if kind == "state" and not isinstance(body[kind], (str, bool)):
        raise ValueError(f"alarm {name!r} has state {body[kind]!r}: a text, or true or false")
    return AlarmRule(
        name=str(name),
        topic=topics[body["metric"]],
        unit=units.get(body["metric"], ""),
        kind=kind,
        limit=body[kind] if kind == "state" else float(body[kind]),
        priority=priority,
        on_delay_s=float(body.get("on_delay_s") or 0.0),
        work_order=body.get("work_order") is True,
        suppress_in=frozenset(map(str, body.get("suppress_in") or ())),
        text=str(body.get("text") or ""),
        context=frozenset(topics[other].name for other in body.get("context") or ()),
        deadband=float(body.get("deadband") or 0.0),
        off_delay_s=float(body.get("off_delay_s") or 0.0),
        latching=body.get("latching") is True,
        re_alarm_s=float(body.get("re_alarm_s") or 0.0),
        bad_after_s=float(body.get("bad_after_s", BAD_AFTER_S)),
        shown={"priority": priority} | {key: body[key] for key in SHOWN if body.get(key)},
    )


def sensor_alarms(alarms: tuple[AlarmRule, ...]) -> list[AlarmRule]:
    """The alarms that tell of a sensor that stays bad: one of each metric, named after its first alarm."""
    first: dict[str, AlarmRule] = {}
    for rule in alarms:
        first.setdefault(rule.metric, rule)
    return [
        AlarmRule(
            f"{rule.name}_bad", rule.topic, "", "bad", True, "low", rule.bad_after_s, False, frozenset(), "",
            off_delay_s=rule.bad_after_s, shown={"priority": "low"},
        )
        for rule in first.values()
    ]  # fmt: skip
