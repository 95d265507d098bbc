"""How `oee:` of `site.yaml` compiles to a line's configuration, and every contradiction that is found on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC
from difflib import get_close_matches
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from shakedown.bridge.config_base import Path_, Report
from shakedown.bridge.core import datatypes as t
from shakedown.bridge.core.model import Metric
from shakedown.bridge.core.oee import LineConfig
from shakedown.bridge.core.oee_calendar import Calendar, Shift
from shakedown.bridge.core.oee_units import Meaning, UnitConfig
from shakedown.bridge.operations_config import DAYS, OeeConfig, ShiftConfig
from shakedown.bridge.yamlfile import did_you_mean

DAY_S = 86_400
COUNTERS = ("produced", "good", "reject", "rework")
NEEDED = ("state", "produced", "good", "reject")
KEYS = (*NEEDED, "product", "order", "order_quantity", "rework", "reason")

FindMetric = Callable[[Path_, str | None], Metric | None]


class OeeCompiler:
    """Compiles one line after the other; problems are reported, all of them."""

    def __init__(self, metrics: dict[str, Metric], find: FindMetric, report: Report) -> None:
        self._metrics = metrics
        self._find = find
        self._report = report

    def line(self, name: str, entry: OeeConfig) -> LineConfig | None:
        """The configuration of a line, None where a metric of it does not exist."""
        path = ("oee", name)
        found = {key: self._find((*path, key), getattr(entry, key)) for key in KEYS}
        state = found["state"]
        if state is not None and "run" not in (state.states or {}).values():
            self._report(
                (*path, "state"), entry.state, "choose a metric with states: {...: run}", "never says run"
            )
        for key in (*COUNTERS, "order_quantity"):
            counter = found[key]
            if counter is not None and counter.datatype not in t.INTEGER_RANGE:
                self._report((*path, key), getattr(entry, key), "choose a whole number", "is not a counter")
        for product, ideal_s in entry.ideal_s.items():
            if not 0 < ideal_s < DAY_S:
                self._report(
                    (*path, "ideal_s", product), ideal_s, "write seconds per item", "is not a time per item"
                )
        calendar = self._calendar(path, entry)
        if any(found[key] is None for key in NEEDED) or state is None:
            return None
        own = {key: metric for key, metric in found.items() if metric is not None}
        units = self._units(path, entry, state.device, own)
        ideal_ns = {product: nanoseconds(ideal_s) for product, ideal_s in entry.ideal_s.items()}
        meaning = Meaning(
            {str(value): kind for kind, values in entry.reasons.model_dump().items() for value in values},
            self._modulus(path, entry, found["produced"]),
            min((ns for ns in ideal_ns.values() if ns > 0), default=0),
        )
        lineage: dict[str, Any] = {
            "tags": {key: f"{m.south} {m.node_id}" for key, m in own.items()},
            "metrics": {key: f"{m.device}/{m.name}" for key, m in own.items()},
            "ideal_s": entry.ideal_s,
        }
        if entry.work_units:
            lineage["work_unit"] = state.device
            lineage |= {"work_units": entry.work_units, "reasons": entry.reasons.model_dump()}
        counting = [unit.name for unit in units].index(state.device)
        return LineConfig(name, units, calendar, counting, bool(entry.work_units), ideal_ns, meaning, lineage)

    def _units(
        self, path: Path_, entry: OeeConfig, counting: str, own: dict[str, Metric]
    ) -> list[UnitConfig]:
        """Every work unit of the line; those that do not count for it have metrics of the same names."""
        found, devices = {counting: own}, sorted({metric.device for metric in self._metrics.values()})
        for i, unit in enumerate(entry.work_units):
            if unit == counting:
                continue
            where = (*path, "work_units", i)
            found[unit] = {}
            if unit not in devices:
                self._report(where, unit, did_you_mean(unit, devices), "is not a device under cells:")
                continue
            for key, metric in own.items():
                other = self._metrics.get(f"{unit}/{metric.name}")
                if other is not None:
                    found[unit][key] = other
                elif key in NEEDED:
                    what = f"has no metric {metric.name} as {counting} has"
                    self._report(where, unit, "give its metrics the same names", what)
        if entry.work_units and counting not in entry.work_units:
            remedy = f"add {counting}, whose state is named"
            self._report((*path, "work_units"), entry.work_units, remedy, "leaves out the one that counts")
        if len(set(entry.work_units)) < len(entry.work_units):
            remedy = "name each once, in the order of flow"
            self._report((*path, "work_units"), entry.work_units, remedy, "names a work unit twice")
        order = dict.fromkeys([*entry.work_units, counting])
        return [
            UnitConfig(
                unit,
                {key: metric.metric_id for key, metric in found[unit].items()},
                {key: f"{metric.device}/{metric.name}" for key, metric in found[unit].items()},
            )
            for unit in order
        ]

    def _modulus(self, path: Path_, entry: OeeConfig, counter: Metric | None) -> int:
        highest = t.INTEGER_RANGE.get(counter.datatype if counter else t.UINT32, (0, 2**32 - 1))[1] + 1
        given = entry.rolls_over_at
        if given is not None and not 100 <= given <= highest:
            remedy = f"write how many values the counter has, 100 to {highest}"
            self._report((*path, "rolls_over_at"), given, remedy, "is not a roll-over of this counter")
        return given or highest

    # ---- calendar

    def _calendar(self, path: Path_, entry: OeeConfig) -> Calendar:
        try:
            zone: ZoneInfo | None = ZoneInfo(entry.time_zone)
        except (KeyError, OSError, ValueError):  # not found, a folder, a path that leads elsewhere
            zone = None
        if zone is None:
            near = get_close_matches(entry.time_zone, sorted(available_timezones()), n=1)
            remedy = f"did you mean {near[0]!r}?" if near else "write an IANA name, as Europe/Berlin"
            self._report((*path, "time_zone"), entry.time_zone, remedy, "is not a time zone of this computer")
        shifts = self._shifts(path, entry.planned)
        return Calendar(shifts, nanoseconds(entry.offset_s), zone or UTC, frozenset(entry.holidays))

    def _shifts(self, path: Path_, planned: Sequence[ShiftConfig]) -> tuple[Shift, ...]:
        if not planned:
            self._report((*path, "planned"), [], "name one shift at least", "is empty")
        for i, shift in enumerate(planned):
            where = (*path, "planned", i)
            if not 0 < shift.lasts_s <= DAY_S:
                remedy = f"write 1 to {DAY_S} seconds"
                self._report((*where, "lasts_s"), shift.lasts_s, remedy, "is not a length of a shift")
            if not 0 <= shift.begins_s < DAY_S:
                remedy = f"write 0 to {DAY_S - 1}"
                self._report((*where, "begins_s"), shift.begins_s, remedy, "is not a time of the day")
            if not shift.days:
                self._report((*where, "days"), [], "leave it out for every day", "is empty")
            for other in planned[:i]:
                if any(_overlap(shift, other, ahead) for ahead in (-1, 0, 1)):
                    remedy = "let one begin where the other ends"
                    self._report(where, shift.name, remedy, f"overlaps {other.name}")
            self._check_breaks(where, shift)
        return tuple(
            Shift(
                shift.name,
                nanoseconds(shift.begins_s),
                nanoseconds(shift.lasts_s),
                tuple((nanoseconds(pause.begins_s), nanoseconds(pause.lasts_s)) for pause in shift.breaks),
                frozenset(_days(shift)),
            )
            for shift in planned
        )

    def _check_breaks(self, path: Path_, shift: ShiftConfig) -> None:
        end_s = 0.0
        for i, pause in sorted(enumerate(shift.breaks), key=lambda found: found[1].begins_s):
            where = (*path, "breaks", i)
            if pause.lasts_s <= 0 or pause.begins_s < 0 or pause.begins_s + pause.lasts_s > shift.lasts_s:
                remedy = f"keep it within 0 to {shift.lasts_s:g} s"
                self._report(where, pause.begins_s, remedy, "is not inside the shift")
            elif pause.begins_s < end_s:
                remedy = "let one begin where the other ends"
                self._report(where, pause.begins_s, remedy, "overlaps another break")
            end_s = max(end_s, pause.begins_s + pause.lasts_s)


def _days(shift: ShiftConfig) -> list[int]:
    return [DAYS.index(day) for day in shift.days]


def _overlap(one: ShiftConfig, other: ShiftConfig, ahead: int) -> bool:
    """Whether they overlap when one begins so many days after the other, if there are such days."""
    if not any((day - ahead) % 7 in _days(other) for day in _days(one)):
        return False
    begin = one.begins_s + ahead * DAY_S
    return begin < other.begins_s + other.lasts_s and other.begins_s < begin + one.lasts_s


def nanoseconds(seconds: float) -> int:
    """The same in nanoseconds; 0 for what is not finite, which is a problem of its own."""
    return round(seconds * 1_000_000_000) if isfinite(seconds) else 0
