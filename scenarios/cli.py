"""The command line: `shakedown`."""

from __future__ import annotations

import json
import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape
from rich.table import Table

from shakedown.bridge.cli import bridge_group
from shakedown.bridge.yamlfile import ConfigError
from shakedown.scenarios.accept_command import accept
from shakedown.scenarios.alarms_command import alarms_group
from shakedown.scenarios.bridges_command import bridges_group
from shakedown.scenarios.errors import EXIT_HARNESS, EXIT_INTERRUPTED, EXIT_USAGE, HarnessFault, UsageError
from shakedown.scenarios.export_command import export
from shakedown.scenarios.init_command import init
from shakedown.scenarios.interruption import terminated_like_interrupted
from shakedown.scenarios.league_command import league
from shakedown.scenarios.monitor_command import monitor
from shakedown.scenarios.plant_files import find_plant
from shakedown.scenarios.show_command import show
from shakedown.scenarios.terminal import ERR, OUT, paragraph
from shakedown.twin.cli import twin_group

if TYPE_CHECKING:
    from shakedown.scenarios.replay import Replay


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  shakedown accept                      the default suite, in virtual time
  shakedown accept --strict --seed 7    not one sample lost, on another seed
  shakedown accept --suite full         the whole shift
  shakedown accept wan_outage_fast --clock wall
                                        real sockets, processes and time
  shakedown accept my_scenario.yaml --out runs/tuesday
  shakedown replay runs/tuesday         the same bytes again?

\b
Exit codes: 0 PASS, 1 FAIL, 2 usage or configuration, 3 INCONCLUSIVE,
            4 harness fault (never to be read as the bridge's), 130 interrupted
""",
)
@click.version_option(package_name="shakedown-lab")
def cli() -> None:
    """Show what an IT/OT bridge loses, and prove what it does not.

    A plant in simulation, a network that fails on purpose, and an honest verdict.
    """


cli.add_command(accept)
cli.add_command(bridge_group)
cli.add_command(bridges_group)
cli.add_command(league)
cli.add_command(alarms_group)
cli.add_command(export)
cli.add_command(init)
cli.add_command(monitor)
cli.add_command(show)
cli.add_command(twin_group(find_plant))


@cli.command("list", epilog="\b\nExample:\n  shakedown list")
def list_scenarios() -> None:
    """List the shipped scenarios, and the suites that they make."""
    from shakedown.scenarios import model
    from shakedown.scenarios.suites import SUITES

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("scenario", "lasts", "faults", "what it does"):
        table.add_column(column, overflow="fold", no_wrap=column in ("scenario", "lasts"))
    for name, path in model.shipped().items():
        scenario = model.set_up(path).scenario
        lasts = f"{(scenario.duration_s + scenario.drain_s) / 60:.0f} min"
        table.add_row(name, lasts, str(len(scenario.faults)), escape(scenario.title))
    OUT.print(table)
    OUT.print()
    suites = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("suite", "scenarios, one after the other"):
        suites.add_column(column, no_wrap=column == "suite")
    for suite, names in SUITES.items():
        suites.add_row(suite, ", ".join(names))
    OUT.print(suites)


@cli.command(
    short_help="Repeat a virtual run, or a suite's runs, and compare every byte.",
    epilog="\b\nExample:\n  shakedown replay runs/wan-3\n\n\b\nExit codes: 0 the same, 1 not the same",
)
@click.argument("run", type=click.Path(path_type=Path))
def replay(run: Path) -> None:
    """Repeat the virtual run in folder RUN and check that every byte on every simulated wire is the same.

    Where RUN is the folder of a suite, all its runs are repeated.
    """
    from shakedown.scenarios.replay import replay as repeat
    from shakedown.scenarios.suite_folder import runs_in

    runs = runs_in(run)
    same, repeated = True, set[Path]()
    for number, folder in enumerate(runs, 1):
        if folder in repeated:
            continue  # with another bridge of the same run
        of_several = folder != run
        with terminated_like_interrupted():
            result = repeat(folder, ERR, f"{number} of {len(runs)}  {folder.name}" if of_several else "")
        same &= result.same
        repeated.update(result.folders)
        _print_replay(result, f"{folder.name} " if of_several else "")
    if not same:
        sys.exit(1)


def _print_replay(result: Replay, name: str) -> None:
    if result.same:
        OUT.print(f"[green]identical[/]: {name}trace {result.trace_now}", soft_wrap=True)
        return
    traces = f"trace {result.trace_before} then, {result.trace_now} now"
    OUT.print(f"[red]different[/]: {escape(name)}{traces}", soft_wrap=True)
    for file in result.differing:
        OUT.print(f"  {file} differs")
    for version in result.other_versions:
        OUT.print(f"  other version: {version}")


@cli.command(
    short_help="Check that a run folder, or a suite's, says what its logs say.",
    epilog="""\b
Examples:
  shakedown verify runs/wan-3
  shakedown verify runs/wan-3 --head 5ee1c0...

\b
Exit codes: 0 it does, 1 it does not""",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--head", metavar="HASH", help="the head of its chain, as the run printed it")
def verify(run: Path, head: str | None) -> None:
    """Check that nothing in the run folder RUN was changed, removed or added, and judge and render it again.

    Whoever changes a log can make everything else fit it: only the head, noted elsewhere, shows that. Where RUN is the
    folder of a suite, it and all its runs are checked.
    """
    from shakedown.scenarios import verification
    from shakedown.scenarios.run_folder import chain_head

    if head is not None and not re.fullmatch("[0-9a-f]{64}", head := head.lower()):
        raise UsageError(
            f"--head {head}: the head of a chain is 64 hexadecimal digits, as a run prints it at its end."
        )
    problems = verification.verify(run, head)
    for problem in problems:
        OUT.print(escape(problem), soft_wrap=True)
    if problems:
        sys.exit(1)
    said = "every file fits the chain, and verdict and reports follow from the logs"
    OUT.print(f"[green]unchanged[/]: {said}", soft_wrap=True)
    if head is None:
        OUT.print(f"head    {chain_head(run)}  (is it the one that the run printed?)", soft_wrap=True)


@cli.command(
    short_help="Print the JSON Schema of a kind of file.",
    epilog="\b\nExample:\n  shakedown schema scenario > scenario.schema.json",
)
@click.argument("what", type=click.Choice(["scenario", "plant", "site", "bridge", "verdict"]))
def schema(what: str) -> None:
    """Print the JSON Schema of a kind of file, for completion and checks in an editor.

    A verdict is what a run folder holds as verdict.json; the others are written by hand.
    """
    from pydantic import BaseModel

    from shakedown.acceptance.verdict_file import verdict_schema
    from shakedown.bridge.config import Site
    from shakedown.bridge.yamlfile import json_schema
    from shakedown.scenarios.bridges.model import BridgeFile
    from shakedown.scenarios.scenario import Scenario
    from shakedown.twin.line.plant import Plant

    models: dict[str, type[BaseModel]] = {
        "scenario": Scenario,
        "plant": Plant,
        "site": Site,
        "bridge": BridgeFile,
    }
    found = verdict_schema() if what == "verdict" else json_schema(models[what])
    click.echo(json.dumps(found, indent=2))


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
        paragraph(ERR, f"[bold red]error[/]: {escape(str(error))}")
        return EXIT_USAGE
    except HarnessFault as fault:
        paragraph(ERR, f"[bold magenta]harness fault[/]: {escape(str(fault))}")
        return EXIT_HARNESS
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else EXIT_HARNESS
    except Exception:
        paragraph(ERR, "[bold magenta]harness fault[/]: a defect of Shakedown itself, not of the bridge under test. "
                        "Please report it with the lines below.")  # fmt: skip
        ERR.print(escape(traceback.format_exc()), soft_wrap=True)
        return EXIT_HARNESS


def _interrupted() -> int:
    ERR.print("interrupted: everything was taken down, and nothing of this run was kept")
    return EXIT_INTERRUPTED
