"""Plants by name or by path."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from shakedown.scenarios.errors import UsageError

if TYPE_CHECKING:
    from shakedown.twin.line.plant import Plant

PLANTS = resources.files("shakedown.scenarios") / "plants"


def find_plant(name: str) -> Plant:
    """The plant of a shipped name, of a plant file, or of a folder with a plant.yaml.

    Raises UsageError when there is none, ConfigError with every problem of its file.
    """
    from shakedown.bridge.yamlfile import Reading, read_on
    from shakedown.scenarios.file_kinds import refuse_another_kind
    from shakedown.twin.line.plant import Plant

    with resources.as_file(PLANTS) as shipped:
        for file in (shipped / name / "plant.yaml", Path(name), Path(name) / "plant.yaml"):
            if file.is_file():
                document, marks, problems = read_on(file)
                refuse_another_kind(document, file, "plant file")
                return Reading(document, marks, Plant, problems).settled()
    raise UsageError(
        f"Plant {name!r} is neither a shipped plant ({known_plants()}) nor a plant file nor a folder with plant.yaml. "
        f"Give one of these."
    )


def known_plants() -> str:
    """The names of the shipped plants in one line, for people."""
    return ", ".join(sorted(folder.name for folder in PLANTS.iterdir() if folder.is_dir()))
