"""Bridge files by name or by path."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from shakedown.bridge.yamlfile import Marks, Reading, read_on
from shakedown.scenarios.bridges.model import BridgeFile
from shakedown.scenarios.errors import UsageError, meant
from shakedown.scenarios.file_kinds import refuse_another_kind

BRIDGES = resources.files("shakedown.scenarios") / "bridges"


@dataclass(frozen=True)
class Found:
    """A bridge file as read, with where everything stands in it."""

    file: BridgeFile
    marks: Marks
    document: dict[str, Any]


def shipped_bridges() -> dict[str, Path]:
    """Name and file of every shipped bridge, in order of name."""
    with resources.as_file(BRIDGES) as folder:
        return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_bridge(name: str) -> Found:
    """The bridge of a shipped name or of a file. Raises UsageError when there is none, ConfigError for a bad file."""
    shipped = shipped_bridges()
    path = shipped.get(name, Path(name))
    if name not in shipped and (not name.endswith((".yaml", ".yml")) and os.sep not in name):
        raise UsageError(
            f"Unknown bridge {name!r}.{meant(name, shipped)} Shipped bridges: {', '.join(shipped)}. For one of your "
            "own give its file, ending in .yaml, or python:PACKAGE.MODULE:FACTORY; external is a bridge that you start "
            "yourself."
        )
    if not path.is_file():
        raise UsageError(f"Bridge file {name} does not exist. Give the path of a bridge file, or one of the shipped "
                         f"bridges: {', '.join(shipped)}.")  # fmt: skip
    document, marks, problems = read_on(path)
    refuse_another_kind(document, path, "bridge file")
    return Found(Reading(document, marks, BridgeFile, problems).settled(), marks, document)
