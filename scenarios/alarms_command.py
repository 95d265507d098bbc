"""`shakedown alarms ...`: what a recorded run says of the alarm rules of its site.yaml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape
from rich.table import Table

from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.options import FiniteRange
from shakedown.scenarios.terminal import OUT, paragraph, rows

if TYPE_CHECKING:
    from shakedown.acceptance.tuning.holdout import Trial
    from shakedown.acceptance.tuning.search import Figures
    from shakedown.acceptance.tuning.tune import Check, RuleTuning, Tuning

NONE = "-"
POINTS_MAX = 10


@click.group("alarms", context_settings={"help_option_names": ["-h", "--help"]})
def alarms_group() -> None:
    """Judge and tune the alarm rules of a line on a recorded run."""


@alarms_group.command(
    short_help="Propose deadband and delays per rule, from a recorded run.",
    epilog="""\b
Examples:
  shakedown alarms tune runs/shift
  shakedown alarms tune runs/shift --holdout runs/shift-1 --holdout runs/shift-2
  shakedown alarms tune runs/shift --yaml > alarms.yaml
  shakedown alarms tune runs/shift --json | jq '.rules[].front'""",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--share", type=FiniteRange(0, 1, min_open=True), default=0.25, show_default=True,
              help="of a fault's response time within which it must be told")  # fmt: skip
@click.option("--holdout", "holdouts", multiple=True, type=click.Path(path_type=Path), metavar="RUN",
              help="try the proposals on this run too, and withdraw what does worse there; repeatable")  # fmt: skip
@click.option(
    "--yaml", "as_yaml", is_flag=True, help="print the alarms of site.yaml with the proposals in them"
)
@click.option("--json", "as_json", is_flag=True, help="print everything, the Pareto fronts too, as JSON")
def tune(run: Path, share: float, holdouts: tuple[Path, ...], as_yaml: bool, as_json: bool) -> None:
    """Replay the trajectory recorded in the run folder RUN through many settings of each alarm rule.

    Shows false alarms, missed faults and delay of the rule as it is and as proposed, and how far a proposal can be
    trusted: whether it holds on runs that it was not made from (--holdout), or one half of the run's in the other.
    """
    from shakedown.acceptance.tuning import tune as tuning

    if as_yaml and as_json:
        raise UsageError("--yaml and --json are two outputs. Give one of them.")
    try:
        result = tuning.tune(run, share=share, holdouts=holdouts)
    except tuning.Untunable as error:
        raise UsageError(str(error)) from None
    if as_json:
        click.echo(json.dumps(tuning.as_dict(result), indent=1))
    elif as_yaml:
        click.echo(tuning.fragment(result), nl=False)
    else:
        _print(result)


def _print(result: Tuning) -> None:
    proposed = sum(rule.proposed is not None for rule in result.rules)
    paragraph(
        OUT,
        f"{len(result.rules)} alarm rules over {result.hours:.1f} h, {proposed} with a proposal; a fault is to be told"
        f" within {result.share:.0%} of its response time.\n",
    )
    is_late = any(rule.now.late or (rule.proposed and rule.proposed.late) for rule in result.rules)
    table = Table(box=None, padding=(0, 1, 0, 0))
    for column in (
        "alarm",
        "",
        "on, off",
        "deadband",
        "false",
        "missed",
        *["late"] * is_late,
        "delay",
        "calls",
    ):
        named = column in ("alarm", "")
        table.add_column(column, no_wrap=not named, overflow="fold", justify="left" if named else "right")
    for rule in result.rules:
        table.add_row(escape(rule.name), "now", *_row(rule.now, is_late))
        if rule.proposed is not None:
            table.add_row(f"  {rule.trust}", "[bold]new[/]", *_row(rule.proposed, is_late))
    rows(OUT, table)
    paragraph(
        OUT,
        "\n[dim]on, off: delays in s; delay: of the faults reported, median and longest in s; calls: annunciations of a"
        " fault reported. Under the name, how far to trust it: held out (in runs that it was not made from, with so"
        " many faults), halves agree (each half's proposal holds in the other), or little trust.[/]\n",
    )
    for rule in result.rules:
        OUT.print(
            f"[bold]{escape(rule.name)}[/] ({escape(rule.metric)}, {escape(rule.limit)})", soft_wrap=True
        )
        for remark in _remarks(rule):
            paragraph(OUT, f"  {escape(remark)}")


def _row(figures: Figures, is_late: bool) -> list[str]:
    setting = figures.setting
    delay = NONE
    if figures.delay_max_s is not None:
        delay = f"{figures.delay_median_s:.1f}, {figures.delay_max_s:.1f}"
    return [
        f"{setting.on_delay_s:g}, {setting.off_delay_s:g}",
        f"{setting.deadband:g}",
        str(figures.false_alarms),
        f"{figures.missed} of {figures.faults}" if figures.faults else NONE,
        *[str(figures.late) if figures.faults else NONE] * is_late,
        delay,
        NONE if figures.annunciations_per_fault is None else f"{figures.annunciations_per_fault:.1f}",
    ]


def _remarks(rule: RuleTuning) -> list[str]:
    found = [f"{'proposed' if rule.proposed else 'left as it is'}: {rule.why}"]
    if len(rule.front) > 1:
        found.append(_trade_off(rule))
    if rule.proposed is not None and rule.proposed.missed_upper_95 is not None:
        faults, bound = rule.proposed.faults, rule.proposed.missed_upper_95
        found.append(
            f"{rule.proposed.missed} of {faults} missed: with 95 % confidence fewer than {bound:.0%} would be"
        )
    if rule.untold:
        found.append(
            f"{rule.untold} of the faults no setting tells: the alarm stood already, or the value never was beyond"
        )
    if rule.elsewhere:
        found.append(f"{rule.elsewhere} more, not counted here, another alarm tells before this one can")
    if rule.late_at_best:
        found.append(f"{rule.late_at_best} of the faults even the quickest setting tells later than asked")
    if rule.noise is not None:
        found.append(
            f"noise of the quiet signal: deviation {rule.noise.sigma:.3g} {rule.unit or 'of its unit'}, correlation of"
            f" neighbouring scans {rule.noise.correlation:.2f}; with all that is slower {rule.noise.spread:.3g}"
        )
    if rule.expected_now is not None:
        new = "" if rule.expected_proposed is None else f", {rule.expected_proposed:.1f} as proposed"
        found.append(
            f"closed form for noise without memory: {rule.expected_now:.1f} false alarms in the run now{new}"
        )
    found += map(_checked, rule.checks)
    found += map(_tried, rule.trials)
    if rule.basis == "faults" and not rule.checks:
        found.append(f"not checked on another half: {rule.unchecked}")
    return found


def _trade_off(rule: RuleTuning) -> str:
    """The Pareto front in a line."""
    timed = rule.front[0].delay_max_s is not None
    points = rule.front if len(rule.front) <= POINTS_MAX else [*rule.front[: POINTS_MAX - 1], rule.front[-1]]
    shown = [
        f"{point.false_alarms} at {(point.delay_max_s or 0.0) if timed else point.setting.on_delay_s:.4g} s"
        for point in points
    ]
    return f"fewest false alarms by {'longest delay' if timed else 'on-delay'}: {', '.join(shown)}"


def _checked(check: Check) -> str:
    own, other, setting = check.own, check.other, check.own.setting
    return (
        f"made from the {check.made_from} (on {setting.on_delay_s:g} s, off {setting.off_delay_s:g} s, deadband"
        f" {setting.deadband:g}): {own.false_alarms} false there, {other.false_alarms} in the other half; missed or"
        f" late {own.missed + own.late} of {own.faults} and {other.missed + other.late} of {other.faults}"
    )


def _tried(trial: Trial) -> str:
    now, new = trial.now, trial.proposed
    return (
        f"held out, {trial.run}: {new.false_alarms} false instead of {now.false_alarms}; missed or late"
        f" {new.missed + new.late} instead of {now.missed + now.late}, of {new.faults}"
    )
