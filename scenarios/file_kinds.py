"""Which kind of file somebody gave: a file of another kind is named as such, not taken apart field by field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shakedown.bridge.config import Site
from shakedown.bridge.yamlfile import ConfigError
from shakedown.scenarios.bridges.model import BridgeFile
from shakedown.scenarios.scenario import Override, Scenario
from shakedown.twin.line.plant import Plant

KINDS: dict[str, type[BaseModel]] = {
    "scenario": Scenario, "site file": Site, "plant file": Plant, "bridge file": BridgeFile, "overlay": Override,
}  # fmt: skip
WANTED = {
    "scenario": "give a scenario, shipped or your own, whose `plant` is {folder}",
    "bridge file": "give a bridge file as docs/bridges.md describes it, or a shipped bridge",
    "plant file": "give a plant.yaml, its folder, or a shipped plant",
}
USED = {
    ("scenario", "bridge file"): "give a scenario, and this one with --bridge {file}",
    ("scenario", "overlay"): "name it in `overlays` of a scenario whose plant has it in its folder overlays/",
}
"""What to do with a file of a kind where one of another is wanted, if it is not what WANTED says."""


def refuse_another_kind(document: Any, file: Path, wanted: str) -> None:
    """Raise ConfigError, in one line, where a document is clearly a file of another kind than `wanted`."""
    keys = set(document) if isinstance(document, dict) else set()
    known = {kind: len(keys & set(model.model_fields)) for kind, model in KINDS.items()}
    kind = max(known, key=lambda one: known[one])
    if known[kind] >= 2 * max(1, known[wanted]):
        remedy = USED.get((wanted, kind), WANTED[wanted]).format(file=file, folder=file.parent)
        raise ConfigError([f"{file}: is {_a(kind)}, not {_a(wanted)} - {remedy}"])


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "overlay" else f"a {kind}"
