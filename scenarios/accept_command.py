"""`shakedown accept`: which runs are asked for, carried out, and how it ends."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shakedown.scenarios.errors import EXIT_INTERRUPTED, UsageError
from shakedown.scenarios.interruption import terminated_like_interrupted
from shakedown.scenarios.options import CLOCKS, FiniteRange, is_clock
from shakedown.scenarios.suites import DEFAULT, SUITES
from shakedown.scenarios.terminal import ERR, paragraph

if TYPE_CHECKING:
    from shakedown.scenarios.runner import Request


class _Clock(click.ParamType[str]):
    name = "clock"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not is_clock(value):
            self.fail(f"{value!r} is not a clock; give {CLOCKS}", param, ctx)
        return value


@click.command(
    short_help="Run scenarios against the bridge and give a verdict.",
    epilog="""\b
Examples:
  shakedown accept
  shakedown accept --suite full --out runs/shift
  shakedown accept wan_outage --strict --seed 3 --out runs/wan-3
  shakedown accept wan_outage --clock x60
  shakedown accept wan_outage_fast --clock wall --broker mosquitto
  shakedown accept wan_outage_fast --clock wall --bridge my_bridge.yaml""",
)
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...")
@click.option("--suite", type=click.Choice(list(SUITES)),
              help="run the scenarios of a suite  [default: default, if no SCENARIO is given]")  # fmt: skip
@click.option("--clock", type=_Clock(), default="virtual", show_default=True, metavar="virtual|wall|xN",
              help="xN is virtual time held to N times real time")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, metavar="N",
              help="of every random stream, 0 to 4294967295  [default: 0]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="the run folder, or the folder of all runs of a suite; must not exist  "
                   "[default: runs/NAME-...]")  # fmt: skip
@click.option("--strict", is_flag=True, help="demand that not one sample is lost")
@click.option("--bridge", default="ours", metavar="BRIDGE",
              help="the bridge to judge: a shipped name (shakedown bridges), a bridge file, python:MODULE:FACTORY, or "
                   "external  [default: ours]")  # fmt: skip
@click.option("--broker", default="embedded", show_default=True, metavar="embedded|mosquitto|URL",
              help="the enterprise broker; others than the embedded one need --clock wall")  # fmt: skip
@click.option(
    "--toxiproxy", metavar="URL", help="HTTP address of a toxiproxy-server to use on the wall clock"
)
@click.option("--duration", type=FiniteRange(min=1), metavar="S",
              help="shorten each run to S seconds; faults that no longer fit are left out")  # fmt: skip
def accept(
    scenarios: tuple[str, ...],
    suite: str | None,
    clock: str,
    seed: int,
    out: Path | None,
    strict: bool,
    bridge: str,
    broker: str,
    toxiproxy: str | None,
    duration: float | None,
) -> None:
    """Run each SCENARIO (a shipped name or a YAML file) against the bridge and say PASS, FAIL or INCONCLUSIVE.

    Several are run one after the other, and the worst verdict is the verdict. Without any, the default suite is run.
    """
    from shakedown.scenarios import model

    if scenarios and suite:
        raise UsageError(
            f"--suite {suite} names its scenarios itself. Give either --suite or {', '.join(scenarios)}."
        )
    if clock != "wall" and toxiproxy:
        raise UsageError(
            f"--toxiproxy is of use on real sockets only, and clock {clock} has none. Add --clock wall."
        )
    suite = None if scenarios else suite or DEFAULT
    scenarios = scenarios or SUITES[suite or DEFAULT]
    setups = model.set_up_all(model.find(scenario) for scenario in scenarios)
    if duration is not None:
        setups = [model.shortened(setup, duration) for setup in setups]
    names = [setup.scenario.name for setup in setups]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UsageError(f"Scenario {', '.join(twice)} is given twice, and each has one folder. Give each once; for "
                         "another seed, run it again with --seed.")  # fmt: skip
    # It takes seconds to import the whole lab: what is refused above is refused at once.
    from shakedown.scenarios import brokers, runner
    from shakedown.scenarios.bridges.choice import choose

    chosen = choose(bridge)
    brokers.refuse_user("--toxiproxy", toxiproxy or "")
    for setup in setups:
        brokers.check_choice(broker, clock, setup)
        chosen.check(setup, clock, broker)
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    name = names[0] if len(names) == 1 else suite or "selection"
    if bridge != "ours":
        name += f"-{re.sub(r'[^a-z0-9_]+', '_', Path(bridge).stem.lower())}"
    folder = out or Path("runs") / f"{name}-{clock}-seed{seed}-{stamp}"
    requests = [
        runner.Request(setup, folder, clock, seed, broker, toxiproxy, strict, chosen, named, duration)
        for setup, named in zip(setups, scenarios, strict=True)
    ]
    if len(requests) == 1 and not setups[0].others:
        _one(requests[0])
    else:
        _all(requests, suite, folder)


def _one(request: Request) -> None:
    from shakedown.scenarios import runner
    from shakedown.scenarios.verdict_table import print_verdict, print_where

    with terminated_like_interrupted():
        outcome = runner.accept(request, ERR)
    print_verdict(outcome)
    print_where(outcome, request)
    sys.exit(outcome.verdict.exit_code)


def _all(requests: Sequence[Request], suite: str | None, folder: Path) -> None:
    from shakedown.scenarios.suite_runner import SuiteInterrupted, accept_all
    from shakedown.scenarios.verdict_table import print_suite, print_suite_where

    try:
        with terminated_like_interrupted():
            outcome = accept_all(suite or "", requests, folder, ERR)
    except SuiteInterrupted as interrupted:
        kept = "\n".join(f"kept    {run}" for run in interrupted.whole)
        paragraph(ERR, f"interrupted: everything was taken down; the run in progress was discarded, and of "
                       f"{len(requests)} runs {len(interrupted.whole)} had come to their verdict:")  # fmt: skip
        ERR.print(kept, markup=False, soft_wrap=True)
        sys.exit(EXIT_INTERRUPTED)
    print_suite(outcome.suite)
    named = ["--suite", suite] if suite else [request.named for request in requests]
    print_suite_where(outcome, requests[0], named)
    sys.exit(outcome.suite.exit_code)
