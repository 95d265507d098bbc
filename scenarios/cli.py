"""The command line: `shakedown`."""

from __future__ import annotations

import sys
import traceback
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shakedown.bridge.cli import bridge_group
from shakedown.bridge.yamlfile import ConfigError
from shakedown.scenarios.errors import EXIT_HARNESS, EXIT_INTERRUPTED, EXIT_USAGE, HarnessFault, UsageError

OUT = Console()
ERR = Console(stderr=True)
COLOURS = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow", "HARNESS_FAULT": "magenta"}


class _Clock(click.ParamType):
    name = "clock"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in ("virtual", "wall") or (
            value.startswith("x") and value[1:].isdigit() and int(value[1:]) > 0
        ):
            return value
        self.fail(
            f"{value!r} is no clock; give virtual, wall, or xN for N times real time, such as x60", param, ctx
        )


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  shakedown accept                          the default scenario, in virtual time
  shakedown accept --strict --seed 7        zero samples lost demanded, another random stream
  shakedown accept wan_outage_fast --clock wall
                                            real sockets, real processes, real time
  shakedown accept my_scenario.yaml --out runs/tuesday
  shakedown replay runs/tuesday             the same bytes again?
\b
Exit codes: 0 PASS, 1 FAIL, 2 usage or configuration, 3 INCONCLUSIVE, 4 harness fault, 130 interrupted.""",
)
@click.version_option(package_name="shakedown")
def cli() -> None:
    """Show what an IT/OT bridge loses, and prove what it does not: a plant, a failing network, an honest verdict."""


cli.add_command(bridge_group)


@cli.command(
    epilog="""\b
Examples:
  shakedown accept
  shakedown accept wan_outage --strict --seed 3 --out runs/wan-3
  shakedown accept wan_outage --clock x60
  shakedown accept wan_outage_fast --clock wall --broker mosquitto"""
)
@click.argument("scenario", default="wan_outage")
@click.option("--clock", type=_Clock(), default="virtual", show_default=True,
              help="virtual, wall, or xN (virtual time held to N times real time)")  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="of every random stream"
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="the run folder; must not exist  [default: runs/NAME-...]"
)
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

    brokers.check_choice(broker)
    if clock != "wall" and broker != "embedded":
        raise UsageError(
            f"--broker {broker} is a real process and cannot follow clock {clock}. Add --clock wall."
        )
    if clock != "wall" and toxiproxy:
        raise UsageError(
            f"--toxiproxy is of use on real sockets only, and clock {clock} has none. Add --clock wall."
        )
    setup = model.set_up(model.find(scenario))
    if duration is not None:
        setup = model.shortened(setup, duration)
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    folder = out or Path("runs") / f"{setup.scenario.name}-{clock}-seed{seed}-{stamp}"
    outcome = runner.accept(runner.Request(setup, folder, clock, seed, broker, toxiproxy, strict), ERR)
    _print_verdict(outcome)
    sys.exit(outcome.verdict.exit_code)


def _print_verdict(outcome) -> None:  # type: ignore[no-untyped-def]
    verdict = outcome.verdict
    table = Table(title=f"{verdict.scenario}, seed {verdict.seed}", title_justify="left")
    for column in ("criterion", "threshold", "measured", "verdict"):
        table.add_column(column, overflow="fold")
    for criterion in verdict.criteria:
        colour = COLOURS.get(criterion.verdict, "white")
        table.add_row(escape(criterion.title), escape(criterion.threshold), escape(criterion.measured),
                      f"[{colour}]{criterion.verdict}[/]")  # fmt: skip
    OUT.print(table)
    for criterion in verdict.criteria:
        if criterion.verdict != "PASS":
            OUT.print(f"{criterion.title}: {escape(criterion.statement)}")
    for fault in verdict.harness:
        OUT.print(f"harness fault: {escape(fault.what)} ({escape(fault.where)}). {escape(fault.remedy)}")
    if ended := outcome.facts.get("bridge_ended"):
        OUT.print(f"The bridge ended by itself: {escape(ended)}")
    OUT.print(f"[bold {COLOURS.get(verdict.verdict, 'white')}]{verdict.verdict}[/]  report: "
              f"{outcome.folder / 'report.html'}", soft_wrap=True)  # fmt: skip


@cli.command("list")
def list_scenarios() -> None:
    """List the shipped scenarios."""
    from shakedown.scenarios import model

    table = Table()
    for column in ("scenario", "lasts", "faults", "what it does"):
        table.add_column(column, overflow="fold")
    for name, path in model.shipped().items():
        scenario = model.set_up(path).scenario
        lasts = f"{(scenario.duration_s + scenario.drain_s) / 60:.0f} min"
        table.add_row(name, lasts, str(len(scenario.faults)), escape(scenario.title))
    OUT.print(table)


@cli.command(epilog="\b\nExample:\n  shakedown replay runs/wan-3")
@click.argument("run", type=click.Path(path_type=Path))
def replay(run: Path) -> None:
    """Repeat the virtual run in folder RUN and check that every byte on every simulated wire is the same."""
    from shakedown.scenarios.replay import replay as repeat

    result = repeat(run, ERR)
    if result.same:
        OUT.print(f"[green]identical[/]: trace {result.trace_now}", soft_wrap=True)
        return
    OUT.print(f"[red]different[/]: trace {result.trace_before} then, {result.trace_now} now", soft_wrap=True)
    for name in result.differing:
        OUT.print(f"  {name} differs")
    for version in result.other_versions:
        OUT.print(f"  other version: {version}")
    sys.exit(1)


@cli.command(epilog="\b\nExample:\n  shakedown verify runs/wan-3")
@click.argument("run", type=click.Path(path_type=Path))
def verify(run: Path) -> None:
    """Check that nothing in the run folder RUN was changed, removed or added since it was written."""
    from shakedown.scenarios.run_folder import verify as check

    problems = check(run)
    for problem in problems:
        OUT.print(escape(problem))
    if problems:
        sys.exit(1)
    OUT.print("[green]unchanged[/]: every file fits the chain")


@cli.command(epilog="\b\nExample:\n  shakedown schema scenario > scenario.schema.json")
@click.argument("what", type=click.Choice(["scenario", "plant", "site"]))
def schema(what: str) -> None:
    """Print the JSON Schema of a kind of file, for completion and checks in an editor."""
    from shakedown.bridge.config import Site
    from shakedown.bridge.yamlfile import json_schema
    from shakedown.scenarios.model import Scenario
    from shakedown.twin.line.plant import Plant

    models = {"scenario": Scenario, "plant": Plant, "site": Site}
    click.echo(json_schema(models[what]))


def main(args: list[str] | None = None) -> None:
    """Run the command line; every ending has its own exit code."""
    sys.exit(_exit_code(args))


def _exit_code(args: list[str] | None) -> int:
    try:
        return int(cli.main(args, prog_name="shakedown", standalone_mode=False) or 0)
    except click.Abort:
        return _interrupted()
    except KeyboardInterrupt:
        return _interrupted()
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except (UsageError, ConfigError) as error:
        ERR.print(f"[bold red]error[/]: {escape(str(error))}", soft_wrap=True, highlight=False)
        return EXIT_USAGE
    except HarnessFault as fault:
        ERR.print(f"[bold magenta]harness fault[/]: {escape(str(fault))}", soft_wrap=True, highlight=False)
        return EXIT_HARNESS
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else EXIT_HARNESS
    except Exception:
        ERR.print(
            "[bold magenta]harness fault[/]: a defect of Shakedown itself, not of the bridge under test."
        )
        ERR.print(escape(traceback.format_exc()), highlight=False)
        return EXIT_HARNESS


def _interrupted() -> int:
    ERR.print("interrupted: everything was taken down, and nothing of this run was kept")
    return EXIT_INTERRUPTED
