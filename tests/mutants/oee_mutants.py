"""Broken OEE calculators."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

from shakedown.bridge.app import Parts
from shakedown.bridge.core.oee import Line
from shakedown.bridge.core.oee_series import PartCounter
from shakedown.bridge.core.oee_shifts import Shifts
from shakedown.bridge.core.oee_units import STOPS
from tests.mutants.mutant import Mutant

SHIFT_EDGE_NS = 30 * 10**9


def calculating(line: type[Line]) -> type[Shifts]:
    """The reports of shifts whose figures `line` computes; they say what it says of itself."""

    class Calculating(Shifts):
        __doc__ = line.__doc__

        def __init__(self, config):
            super().__init__(config)
            self.line = line(config)

    return Calculating


def counting(counter: type[PartCounter]) -> type[Shifts]:
    """The reports of shifts whose parts `counter` counts."""

    class Counting(Line):
        __doc__ = counter.__doc__

        def __init__(self, config):
            super().__init__(config)
            for unit in self.units:
                for healthy in unit.counters.values():
                    healthy.__class__ = counter

    return calculating(Counting)


class LosesParts(Line):
    """Loses 1.5 % of the parts."""

    def _tally(self, *given):
        tallies = super()._tally(*given)
        for tally in tallies.values():
            tally.parts = Counter(
                {key: parts - math.ceil(0.015 * parts) for key, parts in tally.parts.items()}
            )
        return tallies


class AddsRunTime(Line):
    """Counts 2 % of the planned time as run that was idle."""

    def _tally(self, *given):
        tallies = super()._tally(*given)
        for order, tally in tallies.items():
            time_ns = tally.time_ns
            more_ns = (time_ns["run"] + time_ns["changeover"] + time_ns["adet"] + time_ns["adot"]) // 50
            time_ns["run"] += more_ns
            time_ns["adet" if order else "adot"] -= more_ns
        return tallies


class TakesAResetForARollOver(PartCounter):
    """Ignores that a counter may be reset: whenever it falls, it has rolled over."""

    def _fall(self, before, after, ran_ns):
        return self.modulus - before + after, ""


class TakesARollOverForAReset(Shifts):
    """Ignores that a counter may roll over: whenever it falls, it has been reset."""

    def __init__(self, config):
        super().__init__(replace(config, meaning=replace(config.meaning, modulus=1 << 63)))


class SwapsChangeoverAndIdle(Line):
    """Counts changeover as idle and idle as changeover."""

    def _tally(self, *given):
        tallies = super()._tally(*given)
        for order, tally in tallies.items():
            time_ns, idle = tally.time_ns, "adet" if order else "adot"
            time_ns["changeover"], time_ns[idle] = time_ns[idle], time_ns["changeover"]
        return tallies


class CountsFaultsAsIdle(Line):
    """Counts the time of a fault as idle."""

    def _tally(self, *given):
        tallies = super()._tally(*given)
        for tally in tallies.values():
            for kind in STOPS:
                stood_ns = tally.time_ns.pop(kind, 0)
                tally.time_ns["adet"] -= stood_ns
                tally.time_ns["adot"] += stood_ns
        return tallies


class ShiftsTheEdge(Shifts):
    """Begins and ends each shift 30 s late."""

    def __init__(self, config):
        calendar = replace(config.calendar, offset_ns=config.calendar.offset_ns + SHIFT_EDGE_NS)
        super().__init__(replace(config, calendar=calendar))


class CountsBreaksAsPlanned(Shifts):
    """Counts the breaks as planned busy time."""

    def __init__(self, config):
        shifts = tuple(replace(shift, breaks=()) for shift in config.calendar.shifts)
        super().__init__(replace(config, calendar=replace(config.calendar, shifts=shifts)))


class HasOneIdealTime(Shifts):
    """Goes on with the ideal time of the first product after a changeover."""

    def __init__(self, config):
        ideal_ns = dict.fromkeys(config.ideal_ns, next(iter(config.ideal_ns.values())))
        super().__init__(replace(config, ideal_ns=ideal_ns))


class NeverRestates(Shifts):
    """Closes a shift and never looks at it again, whatever comes late."""

    def _restate(self, now_ns):
        return []


class NeverCloses(Shifts):
    """Reports each shift as open, and never as closed."""

    def tick(self, now_ns):
        return [report for report in super().tick(now_ns) if report.status == "open"]


class SaysNothingWhileOpen(Shifts):
    """Reports each shift when it is over, and never while it is open."""

    def tick(self, now_ns):
        return [report for report in super().tick(now_ns) if report.status != "open"]


class CountsRejectsAsGood(Line):
    """Counts every part as good."""

    def _tally(self, *given):
        tallies = super()._tally(*given)
        for tally in tallies.values():
            produced = {product: n for (what, product), n in tally.parts.items() if what == "produced"}
            tally.parts.update({("good", product): 0 for product in produced})
            for product, parts in produced.items():
                tally.parts["good", product] = parts
        return tallies


class TakesReworkForAFirstPass(Line):
    """Leaves a part that went through twice in the first-pass yield."""

    def _tally(self, *given):
        tallies = super()._tally(*given)
        for tally in tallies.values():
            tally.parts = Counter({key: n for key, n in tally.parts.items() if key[0] != "rework"})
        return tallies


class BooksOnTheLastOrder(Line):
    """Books all parts of a shift on the order that is current at its end."""

    def _tally(self, *given):
        tallies = super()._tally(*given)
        parts = sum((tally.parts for tally in tallies.values()), Counter())
        for tally in tallies.values():
            tally.parts = Counter()
        tallies[list(tallies)[-1]].parts = parts
        return tallies


class DropsTheSetUpOfAnOrder(Line):
    """Takes an order to begin when the set-up for it is over, so that the set-up belongs to none."""

    def _tally(self, *given):
        tallies = super()._tally(*given)
        for order in [order for order in tallies if order]:
            tallies[""].time_ns["changeover"] += tallies[order].time_ns.pop("changeover", 0)
        return tallies


class MovesAPartToTheNextOrder(Line):
    """Books the last part of an order on the next one."""

    def _tally(self, *given):
        tallies = super()._tally(*given)
        orders = [order for order in tallies if order]
        for before, after in pairwise(orders):
            for key in [
                key
                for key, parts in tallies[before].parts.items()
                if parts and key[0] in ("produced", "good")
            ]:
                tallies[before].parts[key] -= 1
                tallies[after].parts[key] += 1
        return tallies


class ClosesWrongAndRestatesRight(Shifts):
    """Closes each shift with an OEE of 99 %, and says in the next minute what it was."""

    def _close(self, period):
        report = super()._close(period)
        self._closed[period.from_ns], self._is_late = (period, {}), True
        return replace(report, content=report.content | {"oee": 0.99})


class FlattersTheOpenShift(Shifts):
    """Shows an OEE of 99 % as long as the shift goes on."""

    def tick(self, now_ns):
        return [
            replace(report, content=report.content | {"oee": 0.99}) if report.status == "open" else report
            for report in super().tick(now_ns)
        ]


class NamesAnotherSource(Shifts):
    """Says that its parts are counted where its rejects are."""

    def __init__(self, config):
        tags = config.lineage["tags"]
        super().__init__(
            replace(config, lineage={**config.lineage, "tags": tags | {"produced": tags["reject"]}})
        )


def _mutant(name: str, shifts: type[Shifts], *, quick: bool = False) -> Mutant:
    return Mutant(name, ("oee",), Parts(shifts=shifts), drill="shift_drill.yaml", quick=quick)


OEE = (
    _mutant("loses_parts", calculating(LosesParts), quick=True),
    _mutant("adds_run_time", calculating(AddsRunTime)),
    _mutant("takes_a_reset_for_a_roll_over", counting(TakesAResetForARollOver)),
    _mutant("takes_a_roll_over_for_a_reset", TakesARollOverForAReset),
    _mutant("swaps_changeover_and_idle", calculating(SwapsChangeoverAndIdle)),
    _mutant("counts_faults_as_idle", calculating(CountsFaultsAsIdle)),
    _mutant("shifts_the_edge", ShiftsTheEdge),
    _mutant("counts_breaks_as_planned", CountsBreaksAsPlanned),
    _mutant("has_one_ideal_time", HasOneIdealTime),
    _mutant("never_restates", NeverRestates),
    _mutant("never_closes", NeverCloses),
    _mutant("says_nothing_while_open", SaysNothingWhileOpen),
    _mutant("counts_rejects_as_good", calculating(CountsRejectsAsGood)),
    _mutant("takes_rework_for_a_first_pass", calculating(TakesReworkForAFirstPass)),
    _mutant("books_on_the_last_order", calculating(BooksOnTheLastOrder)),
    _mutant("drops_the_set_up_of_an_order", calculating(DropsTheSetUpOfAnOrder)),
    _mutant("moves_a_part_to_the_next_order", calculating(MovesAPartToTheNextOrder)),
    _mutant("closes_wrong_and_restates_right", ClosesWrongAndRestatesRight),
    _mutant("flatters_the_open_shift", FlattersTheOpenShift),
    _mutant("names_another_source", NamesAnotherSource),
)
