"""The command line: `shakedown`."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shakedown.bridge.cli import bridge_group
from shakedown.bridge.yamlfile import ConfigError
from shakedown.scenarios.errors import EXIT_HARNESS, EXIT_INTERRUPTED, EXIT_USAGE, HarnessFault, UsageError


class _Output(Console):
    """A console whose reader may leave early: `| head` never changes an exit code."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


OUT = _Output(highlight=False)
ERR = _Output(stderr=True, highlight=False)
if TYPE_CHECKING:
    from shakedown.scenarios.runner import Outcome, Request

COLOURS = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow", "HARNESS_FAULT": "magenta"}


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


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  shakedown accept                      the default scenario, in virtual time
  shakedown accept --strict --seed 7    not one sample lost, on another seed
  shakedown accept wan_outage_fast --clock wall
                                        real sockets, processes and time
  shakedown accept my_scenario.yaml --out runs/tuesday
  shakedown replay runs/tuesday         the same bytes again?

\b
Exit codes: 0 PASS, 1 FAIL, 2 usage or configuration, 3 INCONCLUSIVE,
            4 harness fault (never to be read as the bridge's), 130 interrupted
""",
)
@click.version_option(package_name="shakedown")
def cli() -> None:
    """Show what an IT/OT bridge loses, and prove what it does not.

    A plant in simulation, a network that fails on purpose, and an honest verdict.
    """


cli.add_command(bridge_group)


@cli.command(
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
    with _terminated_like_interrupted():
        outcome = runner.accept(request, ERR)
    _print_verdict(outcome)
    _print_where(outcome, request, scenario, duration)
    sys.exit(outcome.verdict.exit_code)


def _print_verdict(outcome: Outcome) -> None:
    """One line a criterion that starts with its verdict, for eyes and for grep; below it what was demanded."""
    verdict = outcome.verdict
    OUT.print(
        f"{verdict.scenario}, seed {verdict.seed}{', strict' if verdict.strict else ''}\n", style="bold"
    )
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for no_wrap in (True, True, False):
        table.add_column(no_wrap=no_wrap)
    for criterion in verdict.criteria:
        table.add_row(_coloured(criterion.verdict), escape(criterion.title), escape(criterion.measured))
        table.add_row("", "", f"[dim]{escape(criterion.threshold)}[/]")
    OUT.print(table)
    OUT.print()
    for criterion in verdict.criteria:
        if criterion.verdict != "PASS":
            needs = f" It needs {criterion.needs}." if criterion.needs else ""
            _paragraph(OUT, f"{criterion.title}: {escape(criterion.statement + needs)}")
    for fault in verdict.harness:
        _paragraph(
            OUT, f"harness fault: {escape(fault.what)} ({escape(fault.where)}). {escape(fault.remedy)}"
        )
    if ended := outcome.facts.get("bridge_ended"):
        _paragraph(OUT, f"The bridge ended by itself: {escape(ended)}")


def _print_where(outcome: Outcome, request: Request, scenario: str, duration: float | None) -> None:
    OUT.print(_coloured(outcome.verdict.verdict, bold=True))
    OUT.print(f"report  {escape(str(outcome.folder / 'report.html'))}", soft_wrap=True)
    if request.is_repeatable:
        again = ["shakedown", "replay", str(outcome.folder)]
    else:
        again = ["shakedown", "accept", scenario, "--clock", request.clock, "--seed", str(request.seed)]
        again += ["--broker", request.broker] if request.broker != "embedded" else []
        again += ["--toxiproxy", request.toxiproxy] if request.toxiproxy else []
        again += ["--strict"] if request.strict else []
        again += ["--duration", f"{duration:g}"] if duration is not None else []
    OUT.print(f"repeat  {escape(shlex.join(again))}", soft_wrap=True)


def _coloured(verdict: str, *, bold: bool = False) -> str:
    return f"[{'bold ' if bold else ''}{COLOURS.get(verdict, 'white')}]{verdict}[/]"


def _paragraph(console: Console, text: str) -> None:
    """Wrapped at words for a person, one line for a program."""
    console.print(text, soft_wrap=not console.is_terminal)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM and a closed terminal do what Ctrl-C does: everything is taken down first."""
    background = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # `shakedown accept &` in a script
    if background:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {
        number: signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT)) for number in numbers
    }
    try:
        yield
    except KeyboardInterrupt:
        # everything is down: what is pressed from here on must not change how the process ends
        for number in (signal.SIGINT, *before):
            signal.signal(number, signal.SIG_IGN)
        raise
    except BaseException:
        _restore(before, background=background)
        raise
    _restore(before, background=background)


def _restore(before: dict[signal.Signals, Any], *, background: bool) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
    if background:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@cli.command("list", epilog="\b\nExample:\n  shakedown list")
def list_scenarios() -> None:
    """List the shipped scenarios."""
    from shakedown.scenarios import model

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("scenario", "lasts", "faults", "what it does"):
        table.add_column(column, overflow="fold", no_wrap=column in ("scenario", "lasts"))
    for name, path in model.shipped().items():
        scenario = model.set_up(path).scenario
        lasts = f"{(scenario.duration_s + scenario.drain_s) / 60:.0f} min"
        table.add_row(name, lasts, str(len(scenario.faults)), escape(scenario.title))
    OUT.print(table)


@cli.command(
    short_help="Repeat a virtual run and compare every byte.",
    epilog="\b\nExample:\n  shakedown replay runs/wan-3\n\n\b\nExit codes: 0 the same, 1 not the same",
)
@click.argument("run", type=click.Path(path_type=Path))
def replay(run: Path) -> None:
    """Repeat the virtual run in folder RUN and check that every byte on every simulated wire is the same."""
    from shakedown.scenarios.replay import replay as repeat

    with _terminated_like_interrupted():
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


@cli.command(
    short_help="Check that a run folder is as it was written.",
    epilog="\b\nExample:\n  shakedown verify runs/wan-3\n\n\b\nExit codes: 0 unchanged, 1 changed",
)
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


@cli.command(
    short_help="Print the JSON Schema of a kind of file.",
    epilog="\b\nExample:\n  shakedown schema scenario > scenario.schema.json",
)
@click.argument("what", type=click.Choice(["scenario", "plant", "site"]))
def schema(what: str) -> None:
    """Print the JSON Schema of a kind of file, for completion and checks in an editor."""
    from pydantic import BaseModel

    from shakedown.bridge.config import Site
    from shakedown.bridge.yamlfile import json_schema
    from shakedown.scenarios.model import Scenario
    from shakedown.twin.line.plant import Plant

    models: dict[str, type[BaseModel]] = {"scenario": Scenario, "plant": Plant, "site": Site}
    click.echo(json.dumps(json_schema(models[what]), indent=2))


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
        _paragraph(ERR, f"[bold red]error[/]: {escape(str(error))}")
        return EXIT_USAGE
    except HarnessFault as fault:
        _paragraph(ERR, f"[bold magenta]harness fault[/]: {escape(str(fault))}")
        return EXIT_HARNESS
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else EXIT_HARNESS
    except Exception:
        _paragraph(ERR, "[bold magenta]harness fault[/]: a defect of Shakedown itself, not of the bridge under test. "
                        "Please report it with the lines below.")  # fmt: skip
        ERR.print(escape(traceback.format_exc()), soft_wrap=True)
        return EXIT_HARNESS


def _interrupted() -> int:
    ERR.print("interrupted: everything was taken down, and nothing of this run was kept")
    return EXIT_INTERRUPTED
