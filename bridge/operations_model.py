"""How alarms, OEE and work orders of `site.yaml` compile to rules, and every contradiction that is found on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite

from shakedown.bridge.config_base import Path_, Report
from shakedown.bridge.core import datatypes as t
from shakedown.bridge.core.alarm_rule import AlarmRule
from shakedown.bridge.core.model import Metric, Value
from shakedown.bridge.core.oee import LineConfig
from shakedown.bridge.operations_config import (
    FIELDS,
    AlarmConfig,
    CmmsConfig,
    OperationsConfig,
    unknown_fields,
)
from shakedown.bridge.operations_oee import OeeCompiler, nanoseconds
from shakedown.bridge.yamlfile import did_you_mean

NUMBERS = frozenset({*t.INTEGER_RANGE, t.FLOAT, t.DOUBLE})
DELAY_MAX_S = 24 * 3600
CONTEXT_MAX_S = 3600
OEE_VALUES = ("availability", "effectiveness", "quality", "oee")
COMMANDS = ("ack", "shelve", "remove", "reset", "confirm")
BAD_AFTER_MIN_S = 1.0
BAD_RESPOND_S = 3600.0
"""Time to respond to a sensor that stays bad."""


@dataclass(frozen=True, slots=True)
class OperationsModel:
    """What is derived from the metrics of an edge node; `ids` finds the metric_id of (device, name)."""

    rules: tuple[AlarmRule, ...] = ()
    lines: tuple[LineConfig, ...] = ()
    ids: dict[tuple[str, str], int] = field(default_factory=dict)
    context_ms: int = 300_000
    has_cmms: bool = False
    equipment: dict[str, tuple[str, str]] = field(default_factory=dict)  # device: (equipment, owner)

    @property
    def is_empty(self) -> bool:
        return not self.rules and not self.lines


def compile_operations(
    site: OperationsConfig, metrics: Sequence[Metric], report: Report
) -> tuple[list[Metric], OperationsModel]:
    """Metrics that are derived, to follow `metrics`; and what from. Problems are reported, all of them."""
    compiler = _Compiler(site, metrics, report)
    rules = tuple(compiler.alarm(name, entry) for name, entry in site.alarms.items())
    compiler.check_pairs()
    oee = OeeCompiler(compiler.metrics, compiler.metric, report)
    lines = tuple(oee.line(name, entry) for name, entry in site.oee.items())
    compiler.check_cmms()
    found = [rule for rule in rules if rule is not None]
    found += compiler.of_bad_sensors(found)
    derived = _metrics(len(metrics), found, list(site.oee))
    compiled = OperationsModel(
        tuple(found),
        tuple(line for line in lines if line is not None),
        {(metric.device, metric.name): metric.metric_id for metric in derived},
        int(site.cmms.context_s * 1000) if site.cmms else 0,
        site.cmms is not None,
        {device: (entry.equipment, entry.owner) for device, entry in site.equipment.items()},
    )
    return derived, compiled


def _metrics(first: int, rules: Sequence[AlarmRule], lines: Sequence[str]) -> list[Metric]:
    specs: list[tuple[str, str, int, bool]] = []
    for rule in rules:
        base = f"alarm/{rule.name}"
        specs += [(rule.device, base, t.STRING, False), (rule.device, f"{base}/occurrence", t.UINT32, False)]
        not_offered = {
            name for name, is_on in (("reset", rule.latching), ("confirm", rule.confirm)) if not is_on
        }
        names = [name for name in COMMANDS if name not in not_offered]
        specs += [(rule.device, f"{base}/{name}", t.STRING, True) for name in names]
        if rule.work_order:
            specs.append((rule.device, f"work_order/{rule.name}", t.STRING, False))
    for line in lines:
        specs.append(("", f"oee/{line}/report", t.STRING, False))
        specs += [("", f"oee/{line}/{name}", t.DOUBLE, False) for name in OEE_VALUES]
    if rules:
        specs += [("", "alarms/flood", t.BOOLEAN, False), ("", "alarms/in_10_min", t.UINT32, False)]
        specs.append(("", "alarms/chattering", t.STRING, False))
    shown = {(rule.device, f"alarm/{rule.name}"): rule.rationale for rule in rules}
    return [
        Metric(
            first + i, device, name, kind, properties=dict(shown.get((device, name), {})), is_command=is_command
        )
        for i, (device, name, kind, is_command) in enumerate(specs)
    ]  # fmt: skip


class _Compiler:
    def __init__(self, site: OperationsConfig, metrics: Sequence[Metric], report: Report) -> None:
        self.site = site
        self.report = report
        self.metrics = {f"{metric.device}/{metric.name}": metric for metric in metrics if metric.device}
        self.by_id = {metric.metric_id: metric.name for metric in metrics}

    def metric(self, path: Path_, name: str | None) -> Metric | None:
        """The metric of a name `cell.asset/metric`."""
        if name is None:
            return None
        metric = self.metrics.get(name)
        if metric is None:
            self.report(path, name, did_you_mean(name, list(self.metrics)), "is not a metric under cells:")
        return metric

    # ---- alarms

    def alarm(self, name: str, entry: AlarmConfig) -> AlarmRule | None:
        path = ("alarms", name)
        metric = self.metric((*path, "metric"), entry.metric)
        context = [self.metric((*path, "context", i), other) for i, other in enumerate(entry.context)]
        self._check_times(path, entry)
        if not self._check_limit(path, entry, metric) or metric is None:
            return None
        state = self.metrics.get(f"{metric.device}/state")
        self._check_suppression(path, entry, metric, state)
        if entry.work_order:
            self._check_work_order(path, metric.device)
        explains = (metric, state, *context)
        return AlarmRule(
            metric.device, name, metric.metric_id, entry.high, entry.low, entry.state, entry.deadband,
            nanoseconds(entry.on_delay_s), nanoseconds(entry.off_delay_s), entry.latching, entry.confirm,
            nanoseconds(entry.re_alarm_s),
            frozenset(entry.suppress_in), state.metric_id if state else None, entry.priority, entry.work_order,
            entry.text, entry.cause, entry.consequence, entry.response, entry.respond_s,
            tuple(dict.fromkeys(m.metric_id for m in explains if m is not None)), nanoseconds(entry.bad_after_s),
        )  # fmt: skip

    def of_bad_sensors(self, rules: Sequence[AlarmRule]) -> list[AlarmRule]:
        """The alarm of its own that a watched metric has while it is bad, named after the first of its alarms."""
        first = {rule.metric_id: rule for rule in reversed(rules)}
        found = []
        for metric_id, rule in sorted(first.items()):
            metric = f"{rule.device}/{self.by_id[metric_id]}"
            name = f"{rule.name}_bad"
            if name in self.site.alarms:
                remedy = f"call it otherwise: that is the alarm of {metric} when it stays bad"
                self.report(
                    ("alarms", name), name, remedy, "is the name of an alarm that the bridge makes itself"
                )
            watching = ", ".join(other.name for other in rules if other.metric_id == metric_id)
            found.append(
                AlarmRule(
                    rule.device, name, metric_id, is_bad=True, priority="low",
                    on_delay_ns=rule.bad_after_ns, off_delay_ns=rule.bad_after_ns, bad_after_ns=rule.bad_after_ns,
                    text=f"{metric} has no good value", cause="sensor, wiring or controller",
                    consequence=f"cannot speak meanwhile: {watching}", response="find out by other means, and mend it",
                    respond_s=BAD_RESPOND_S,
                )
            )  # fmt: skip
        return found

    def _check_times(self, path: Path_, entry: AlarmConfig) -> None:
        for key in ("on_delay_s", "off_delay_s", "re_alarm_s"):
            if not 0 <= getattr(entry, key) <= DELAY_MAX_S:
                self.report(
                    (*path, key), getattr(entry, key), f"write 0 to {DELAY_MAX_S} seconds", "is not a delay"
                )
        if not BAD_AFTER_MIN_S <= entry.bad_after_s <= DELAY_MAX_S:
            remedy = f"write {BAD_AFTER_MIN_S:g} to {DELAY_MAX_S} seconds"
            self.report((*path, "bad_after_s"), entry.bad_after_s, remedy, "is not a delay")

    def _check_limit(self, path: Path_, entry: AlarmConfig, metric: Metric | None) -> bool:
        limits = [key for key in ("high", "low", "state") if getattr(entry, key) is not None]
        if len(limits) != 1:
            what = f"has {' and '.join(limits) or 'no limit'}"
            self.report(path, entry.metric, "give one of high, low and state; an alarm for each", what)
            return False
        (key,) = limits
        limit = getattr(entry, key)
        if not 0 <= entry.deadband < float("inf") or (entry.deadband and key == "state"):
            remedy = "write a number from 0 up, and none beside state"
            self.report((*path, "deadband"), entry.deadband, remedy, "is not a deadband")
        if metric is None:
            return True
        if key == "state":
            self._check_state(path, limit, metric)
        elif metric.datatype not in NUMBERS:
            self.report(
                (*path, key),
                limit,
                "write state: for it",
                f"is a limit on {entry.metric}, which is not a number",
            )
        else:
            self._check_range(path, key, limit, entry, metric)
        return True

    def _check_state(self, path: Path_, limit: str | bool, metric: Metric) -> None:
        if (metric.datatype == t.BOOLEAN) is not isinstance(limit, bool) or metric.datatype in NUMBERS:
            kind = "true or false" if metric.datatype == t.BOOLEAN else "high: or low:"
            remedy = f"write {kind} for it" if metric.datatype not in (t.STRING, t.TEXT) else "write a text"
            self.report((*path, "state"), limit, remedy, f"is not a value of a {t.NAME[metric.datatype]}")
        elif metric.states is not None and limit not in metric.states.values():
            remedy = did_you_mean(str(limit), sorted(set(metric.states.values())))
            self.report((*path, "state"), limit, remedy, "is not a state of the metric")

    def _check_range(self, path: Path_, key: str, limit: float, entry: AlarmConfig, metric: Metric) -> None:
        properties = metric.properties
        low, high = (_number(properties.get(name)) for name in ("engLow", "engHigh"))
        if not isfinite(limit):
            self.report((*path, key), limit, "write a number", "is not a limit")
        for edge, is_out in ((low, key == "low"), (high, key == "high")):
            if edge is not None and is_out and (limit <= edge if key == "low" else limit >= edge):
                remedy = "move it inside, or no value can reach it"
                self.report((*path, key), limit, remedy, f"is not inside the metric's range {low} to {high}")
        if low is not None and high is not None and entry.deadband >= high - low:
            remedy = "make it smaller, or the alarm can never clear"
            what = f"is wider than the metric's range {low} to {high}"
            self.report((*path, "deadband"), entry.deadband, remedy, what)

    def check_pairs(self) -> None:
        """A low limit above a high one of the same metric, and a deadband wider than the band between them."""
        alarms = list(self.site.alarms.items())
        for low_name, low in alarms:
            for high_name, high in alarms:
                if low.metric != high.metric or low.low is None or high.high is None:
                    continue
                if low.low >= high.high:
                    remedy = f"put it below {high.high:g}, or no value is normal"
                    what = f"is not below the high limit {high.high:g} of {high_name}"
                    self.report(("alarms", low_name, "low"), low.low, remedy, what)
                    continue
                for name, entry in ((low_name, low), (high_name, high)):
                    if entry.deadband >= high.high - low.low:
                        remedy = "make it smaller, or one alarm clears only when the other is raised"
                        what = f"is as wide as the band {low.low:g} to {high.high:g} or wider"
                        self.report(("alarms", name, "deadband"), entry.deadband, remedy, what)

    def _check_suppression(
        self, path: Path_, entry: AlarmConfig, metric: Metric, state: Metric | None
    ) -> None:
        if not entry.suppress_in:
            return
        if state is None or state.states is None:
            what = f"needs the states of {metric.device}"
            self.report((*path, "suppress_in"), entry.suppress_in, "give its metric `state` states:", what)
            return
        known = set(state.states.values())
        for i, name in enumerate(entry.suppress_in):
            if name not in known:
                remedy = did_you_mean(name, sorted(known))
                self.report((*path, "suppress_in", i), name, remedy, f"is not a state of {metric.device}")
            if metric is state and name == entry.state:
                remedy = "leave it out: the alarm could never be raised"
                self.report((*path, "suppress_in", i), name, remedy, "is the state that raises the alarm")
        if known <= set(entry.suppress_in):
            remedy = "leave out a state: the alarm could never be raised"
            self.report(
                (*path, "suppress_in"), entry.suppress_in, remedy, f"is every state of {metric.device}"
            )

    def _check_work_order(self, path: Path_, device: str) -> None:
        if self.site.cmms is None:
            self.report((*path, "work_order"), True, "add cmms: {url: ...}", "has nowhere to go")
        if device not in self.site.equipment:
            remedy = f"add equipment: {{{device}: {{equipment: ...}}}}"
            self.report((*path, "work_order"), True, remedy, "is for a device that the CMMS has no name for")

    # ---- CMMS

    def check_cmms(self) -> None:
        site, devices = self.site, {metric.device for metric in self.metrics.values()}
        for device in site.equipment:
            if device not in devices:
                remedy = did_you_mean(device, sorted(devices))
                self.report(("equipment", device), device, remedy, "is not a device under cells:")
        if site.cmms is None:
            return
        for key, top in (("context_s", CONTEXT_MAX_S), ("timeout_s", 120.0)):
            if not 1 <= getattr(site.cmms, key) <= top:
                self.report(
                    ("cmms", key), getattr(site.cmms, key), f"write 1 to {top:g} seconds", "is out of range"
                )
        if (site.cmms.adapter == "generic") is not (site.cmms.generic is not None):
            remedy = "write both adapter: generic and generic: {create: ..., follow: ...}, or neither"
            self.report(("cmms", "adapter"), site.cmms.adapter, remedy, "does not go with what follows")
        self._check_secrecy(site.cmms)
        for call_name in ("create", "follow", "asset", "find"):
            call = getattr(site.cmms.generic, call_name, None)
            for name in unknown_fields(call) if call is not None else ():
                remedy = did_you_mean(name, sorted(FIELDS))
                self.report(
                    ("cmms", "generic", call_name), f"{{{name}}}", remedy, "is not a field of an order"
                )

    def _check_secrecy(self, cmms: CmmsConfig) -> None:
        """Tokens go where nobody reads along, and a secret is not both made by the bridge and typed by hand."""
        host, is_secure = cmms.host_port[0], cmms.url.startswith("https://")
        if cmms.token_file and not is_secure and host not in ("localhost", "127.0.0.1"):
            self.report(("cmms", "url"), cmms.url, "write https://", "would carry the token in clear text")
        if cmms.tls is not None and not is_secure:
            self.report(
                ("cmms", "tls"), cmms.url, "write url: https://... or leave it out", "is for https only"
            )
        if cmms.webhook is not None and cmms.adapter == "generic" and not cmms.webhook.token_file:
            remedy = "name a file with the secret that you enter there too"
            what = "is missing: a generic CMMS is told by hand where to call"
            self.report(("cmms", "webhook", "token_file"), "", remedy, what)


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, int | float) else None
