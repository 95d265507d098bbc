"""`shakedown bridges`: the bridges that can be judged at once, what each needs, and how it gets here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.markup import escape
from rich.table import Table

from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.terminal import ERR, OUT

if TYPE_CHECKING:
    from shakedown.scenarios.bridges.model import Install


@click.group("bridges", invoke_without_command=True, epilog="""\b
Examples:
  shakedown bridges
  shakedown bridges install telegraf
  shakedown accept wan_outage_fast --clock wall --bridge telegraf""")  # fmt: skip
@click.pass_context
def bridges_group(context: click.Context) -> None:
    """List the shipped bridges, and say which are installed and what the others lack."""
    if context.invoked_subcommand is not None:
        return
    from shakedown.scenarios.bridges.find import find_bridge, shipped_bridges

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("bridge", "what it is", "here"):
        table.add_column(column, overflow="fold", no_wrap=column == "bridge")
    table.add_row("ours", "Shakedown's own bridge (shakedown-bridge)", "yes")
    for name in shipped_bridges():
        file = find_bridge(name).file
        table.add_row(name, escape(file.title), escape(_state(file.install)))
    OUT.print(table)
    OUT.print("\nwhat is not here: shakedown bridges install NAME", soft_wrap=True)


def _state(install: Install | None) -> str:
    from shakedown.scenarios.bridges.install import missing, tools_missing

    if install is None or not missing(install):
        return "yes"
    packages = [*(f"{name} {version}" for name, version in install.npm.items()), *install.pip]
    packages += [install.go] if install.go is not None else []
    return "; ".join([f"no: {', '.join(packages)}", *tools_missing(install)])


@bridges_group.command("install", epilog="\b\nExample:\n  shakedown bridges install node_opcua")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def install(names: tuple[str, ...]) -> None:
    """Install what each bridge NAME needs, with exact versions, into a folder of its own.

    The folder is SHAKEDOWN_BRIDGES/NAME, or ~/.local/share/shakedown/bridges/NAME.
    """
    from shakedown.scenarios.bridges.find import find_bridge
    from shakedown.scenarios.bridges.install import carry_out, missing

    for name in names:
        needed = find_bridge(name).file.install
        if needed is None:
            raise UsageError(f"Bridge {name} needs nothing that is to be installed.")
        if not missing(needed):
            OUT.print(f"{name} is installed already", markup=False)
            continue
        ERR.print(f"installing {name}, which may take minutes", markup=False)
        OUT.print(f"{name} is in {carry_out(needed)}", markup=False, soft_wrap=True)
