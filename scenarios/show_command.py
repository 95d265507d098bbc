"""`shakedown show`: a shipped file, to read, to learn from, to start one's own with."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

import click

from shakedown.scenarios.errors import UsageError

FOLDERS = ("library", "plants", "bridges")
SUFFIXES = (".yaml", ".j2")


@click.command(
    short_help="Print a shipped file.",
    epilog="""\b
Examples:
  shakedown show
  shakedown show wan_outage > my_scenario.yaml
  shakedown show bottling/site > site.yaml""",
)
@click.argument("name", required=False)
def show(name: str | None) -> None:
    """Print the shipped scenario, plant, site, overlay or bridge file NAME; without NAME, the names there are."""
    files = shipped_files()
    if name is None:
        click.echo("\n".join(files))
        return
    file = files.get(name.removesuffix(".yaml"))
    if file is None:
        near = [known for known in files if known.startswith(f"{name}/")]
        near = near or difflib.get_close_matches(name.removesuffix(".yaml"), files, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(f"No shipped file is called {name!r}. {hint}`shakedown show` lists them.")
    click.echo(file.read_text(encoding="utf-8"), nl=False)


def shipped_files() -> dict[str, Path]:
    """Every shipped file by its name: scenarios and bridges by their own, those of a plant as PLANT/FILE."""
    found = {}
    with resources.as_file(resources.files("shakedown.scenarios")) as root:
        for folder in FOLDERS:
            for path in sorted((root / folder).rglob("*")):
                if path.suffix in SUFFIXES:
                    relative = path.relative_to(root / folder)
                    found[str(relative).removesuffix(".yaml")] = path
    return found
