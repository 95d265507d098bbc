"""`shakedown init`: a small project of one's own that passes at once."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click
from rich.markup import escape

from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.terminal import OUT

STARTER = resources.files("shakedown.scenarios") / "starter"
FILES = {
    "plant/plant.yaml": "plant/plant.yaml",
    "plant/site.yaml": "plant/site.yaml",
    "scenario.yaml": "scenario.yaml",
    "test_acceptance.py": "test_acceptance.txt",
    ".github/workflows/acceptance.yml": "github.yaml",
    ".gitlab-ci.yml": "gitlab.yaml",
}
"""What is written, and the shipped file that it is a copy of."""


@click.command(
    short_help="Write a small project that passes at once.",
    epilog="""\b
Examples:
  shakedown init
  shakedown init my-line""",
)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
def init(folder: Path) -> None:
    """Write a plant, its site.yaml, a scenario, a test and files for CI into FOLDER (the current one if not given).

    Nothing is overwritten: if one of the files is there, none is written.
    """
    if taken := [name for name in FILES if (folder / name).exists() or (folder / name).is_symlink()]:
        raise UsageError(f"{folder / taken[0]} exists already, and nothing is overwritten. Give another folder, or "
                         f"remove it first{f' ({len(taken)} files are there)' if len(taken) > 1 else ''}.")  # fmt: skip
    written: list[Path] = []
    try:
        for name, source in FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write((STARTER / source).read_text(encoding="utf-8"))
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise UsageError(f"{error.filename or folder}: {error.strerror or error}. Nothing was written; give another "
                         "folder.") from None  # fmt: skip
    for name in FILES:
        OUT.print(escape(str(folder / name)), soft_wrap=True)
    into = "" if folder == Path() else f"cd {folder} && "
    OUT.print(f"\nNow: [bold]{escape(into)}pytest[/] (pip install pytest, if it is not there), or "
              f"[bold]{escape(into)}shakedown accept scenario.yaml[/]", soft_wrap=True)  # fmt: skip
