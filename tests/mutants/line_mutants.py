"""Bridges that know one machine where a line is asked for."""

from __future__ import annotations

from dataclasses import replace

from shakedown.bridge.app import Parts
from shakedown.bridge.core.oee import Line
from shakedown.bridge.core.oee_series import Series
from shakedown.bridge.core.oee_shifts import Shifts
from tests.mutants.mutant import Mutant
from tests.mutants.oee_mutants import calculating


class HasTheYieldOfOneMachine(Line):
    """Leaves out of quality and first-pass yield what the other machines of the line scrap."""

    def figures(self, period, until_ns):
        found = super().figures(period, until_ns)
        quality = found["work_units"][self.config.counting]["quality"]
        if found["oee"] and quality:
            found["oee"] *= quality / found["quality"]
        return found | {"quality": quality}


class TakesMinorStopsForFailures(Shifts):
    """Counts each minor stop as a failure."""

    def __init__(self, config):
        reasons = {value: kind for value, kind in config.meaning.reasons.items() if kind != "minor_stop"}
        super().__init__(replace(config, meaning=replace(config.meaning, reasons=reasons)))


class BlamesTheBottleneck(Line):
    """Takes waiting for others for the bottleneck's own idleness."""

    def _losses(self, *given):
        own, others = self.config.units[self.config.counting].name, 0.0
        kept = []
        for loss in super()._losses(*given):
            if loss["work_unit"] in ("", own):
                kept.append(loss)
            else:
                others += loss["s"]
        return [*kept, {"work_unit": own, "kind": "idle", "s": others}]


class TakesTheSetUpForTheChangeover(Line):
    """Takes a changeover to be as long as the bottleneck's set-up."""

    def _changeovers(self, from_ns, to_ns, episodes):
        return [e.end - e.begin for e in episodes if e.kind == "changeover" and from_ns < e.end < to_ns]


class LooksAtTheEndOfTheLine(Shifts):
    """Takes the last machine for the one that counts."""

    def __init__(self, config):
        super().__init__(replace(config, counting=len(config.units) - 1))


class LooksUpTheOrderAtTheScan(Line):
    """Books a part that came in the scan of a change of order on the order after it."""

    def _tally(self, planned, episodes, orders, counted):
        early = Series()
        early.times, early.values = [moment - 1 for moment in orders.times], orders.values
        return super()._tally(planned, episodes, early, counted)


class KnowsNoOrderYet(Shifts):
    """Names neither orders nor losses as long as the shift goes on."""

    def tick(self, now_ns):
        return [
            replace(r, content=r.content | {"orders": [], "losses": []}) if r.status == "open" else r
            for r in super().tick(now_ns)
        ]


def _mutant(name: str, shifts: type[Shifts]) -> Mutant:
    return Mutant(name, ("oee",), Parts(shifts=shifts), drill="line_drill.yaml")


LINE = (
    _mutant("has_the_yield_of_one_machine", calculating(HasTheYieldOfOneMachine)),
    _mutant("takes_minor_stops_for_failures", TakesMinorStopsForFailures),
    _mutant("blames_the_bottleneck", calculating(BlamesTheBottleneck)),
    _mutant("takes_the_set_up_for_the_changeover", calculating(TakesTheSetUpForTheChangeover)),
    _mutant("looks_at_the_end_of_the_line", LooksAtTheEndOfTheLine),
    _mutant("looks_up_the_order_at_the_scan", calculating(LooksUpTheOrderAtTheScan)),
    _mutant("knows_no_order_yet", KnowsNoOrderYet),
)
