"""Proposals tried on runs that they were not made from.

A proposal is withdrawn where it would do worse than the rule as it is: more faults missed or late, more false alarms,
or one critical fault missed that is reported now, whatever it gains elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

from shakedown.acceptance.operations_site import AlarmRule
from shakedown.acceptance.tuning.record import Record, Untunable, read_record
from shakedown.acceptance.tuning.replay import Setting
from shakedown.acceptance.tuning.search import Figures, others_of, tabulate, told_by

Proposals = Mapping[str, Setting]


@dataclass(frozen=True)
class Trial:
    """One proposal in one held-out run, beside the rule as it is."""

    run: str
    now: Figures
    proposed: Figures
    hidden: tuple[str, ...] = ()  # critical faults that only the rule as it is tells

    @property
    def worse(self) -> str:
        """What the proposal does worse there; empty if nothing."""
        pairs = (
            ("faults missed", self.now.missed, self.proposed.missed),
            ("faults late", self.now.late, self.proposed.late),
            ("false alarms", self.now.false_alarms, self.proposed.false_alarms),
        )
        found = [f"the critical fault {fault} missed" for fault in self.hidden]
        found += [f"{new} {what} instead of {old}" for what, old, new in pairs if new > old]
        return ", ".join(found)


def read_holdouts(folders: Sequence[Path], record: Record) -> list[Record]:
    """The held-out runs; raises `Untunable` where one is the run itself, or its rules watch something else."""
    found = []
    for folder in folders:
        if folder.resolve() == record.folder.resolve():
            raise Untunable(
                f"{folder} is the run that is tuned, and shows nothing new. Give another seed of it."
            )
        other = read_record(folder)
        rules = {seen.rule.name: _watched(seen.rule) for seen in other.seen}
        for seen in record.seen:
            if rules.get(seen.rule.name) != _watched(seen.rule):
                raise Untunable(
                    f"{folder} has no alarm {seen.rule.name} with the same metric, limit and suppress_in. Give a run of"
                    " the same site, with another seed."
                )
        found.append(other)
    return found


def _watched(rule: AlarmRule) -> tuple[object, ...]:
    return rule.metric, rule.kind, rule.limit, rule.suppress_in


def trials(proposals: Proposals, holdouts: Sequence[Record], share: float) -> dict[str, list[Trial]]:
    """What each proposal does in each held-out run."""
    found: dict[str, list[Trial]] = {name: [] for name in proposals}
    for record in holdouts:
        told_s = {seen.rule.name: told_by(seen, seen.now) for seen in record.seen}
        for seen in record.seen:
            proposed = proposals.get(seen.rule.name)
            if proposed is None:
                continue
            others_s = others_of(seen.rule.name, told_s)
            grid = [seen.now, proposed]
            table = tabulate(seen, record.from_ns, record.to_ns, record.to_ns, share, others_s, grid)
            hidden = tuple(
                fault.id
                for fault, before, after in zip(table.faults, *table.delay_s, strict=True)
                if fault.critical and isnan(after) and not isnan(before)
            )
            found[seen.rule.name].append(
                Trial(str(record.folder), table.figures(0), table.figures(1), hidden)
            )
    return found
