"""`shakedown accept`: which runs are asked for, carried out, and how it ends."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click

from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.interruption import terminated_like_interrupted
from shakedown.scenarios.terminal import ERR
from shakedown.scenarios.verdict_table import print_verdict, print_where


class _Clock(click.ParamType[str]):
    name = "clock"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in ("virtual", "wall") or (
            value.startswith("x") and value[1:].isdigit() and int(value[1:]) > 0
        ):
            return value
        self.fail(
            f"{value!r} is no clock; give virtual, wall, or xN for N times real time, such as x60", param, ctx
        )


@click.command(
    short_help="Run a scenario against the bridge and give a verdict.",
    epilog="""\b
Examples:
  shakedown accept
  shakedown accept wan_outage --strict --seed 3 --out runs/wan-3
  shakedown accept wan_outage --clock x60
  shakedown accept wan_outage_fast --clock wall --broker mosquitto""",
)
@click.argument("scenario", default="wan_outage")
@click.option("--clock", type=_Clock(), default="virtual", show_default=True, metavar="virtual|wall|xN",
              help="xN is virtual time held to N times real time")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, metavar="N",
              help="of every random stream, 0 to 4294967295  [default: 0]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="the run folder; must not exist  [default: runs/NAME-...]")  # fmt: skip
@click.option("--strict", is_flag=True, help="demand that not one sample is lost")
@click.option("--broker", default="embedded", show_default=True, metavar="embedded|mosquitto|URL",
              help="the enterprise broker; others than the embedded one need --clock wall")  # fmt: skip
@click.option(
    "--toxiproxy", metavar="URL", help="HTTP address of a toxiproxy-server to use on the wall clock"
)
@click.option("--duration", type=click.FloatRange(min=1), metavar="S",
              help="shorten the run to S seconds; faults that no longer fit are left out")  # fmt: skip
def accept(
    scenario: str,
    clock: str,
    seed: int,
    out: Path | None,
    strict: bool,
    broker: str,
    toxiproxy: str | None,
    duration: float | None,
) -> None:
    """Run SCENARIO (a shipped name or a YAML file) against the bridge and say PASS, FAIL or INCONCLUSIVE."""
    from shakedown.scenarios import brokers, model, runner

    if clock != "wall" and toxiproxy:
        raise UsageError(
            f"--toxiproxy is of use on real sockets only, and clock {clock} has none. Add --clock wall."
        )
    setup = model.set_up(model.find(scenario))
    if duration is not None:
        setup = model.shortened(setup, duration)
    brokers.check_choice(broker, clock, setup.scenario)
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    folder = out or Path("runs") / f"{setup.scenario.name}-{clock}-seed{seed}-{stamp}"
    request = runner.Request(setup, folder, clock, seed, broker, toxiproxy, strict)
    with terminated_like_interrupted():
        outcome = runner.accept(request, ERR)
    print_verdict(outcome)
    print_where(outcome, request, scenario, duration)
    sys.exit(outcome.verdict.exit_code)
