"""What a scenario file says: which plant, which network, what goes wrong and when."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from shakedown.bridge.config import Site
from shakedown.bridge.yamlfile import load
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.faults import AnyFault
from shakedown.twin.line.plant import Plant

LIBRARY = resources.files("shakedown.scenarios") / "library"
PLANTS = resources.files("shakedown.scenarios") / "plants"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConduitModel(_Part):
    """A healthy conduit's own latency, jitter and bandwidth."""

    latency_ms: float = Field(default=0, ge=0, le=60_000)
    jitter_ms: float = Field(default=0, ge=0, le=10_000)
    bandwidth_kB_s: float | None = Field(default=None, gt=0)  # noqa: N815 (SI prefix)


class NetworkModel(_Part):
    """The two conduits of the plant as it is drawn on the wall."""

    cell: ConduitModel = ConduitModel(latency_ms=0.5)
    wan: ConduitModel = ConduitModel(latency_ms=20, jitter_ms=5)


class Override(_Part):
    """Keys of the plant's files that this scenario sets otherwise."""

    plant: dict[str, Any] = Field(default_factory=dict)
    site: dict[str, Any] = Field(default_factory=dict)


class Scenario(_Part):
    """One scenario file (scenarios/library/*.yaml)."""

    format: int = Field(default=1, ge=1, le=1)
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    description: str = ""
    plant: str = Field(
        default="bottling", description="A shipped plant's name, or a folder with plant.yaml and site.yaml"
    )
    warm_up_s: float = Field(default=60, gt=0, description="No fault strikes before")
    duration_s: float = Field(gt=0, le=30 * 86_400, description="How long the line offers samples")
    drain_s: float = Field(
        default=90, ge=0, le=86_400, description="How long the bridge then has to deliver the rest"
    )
    network: NetworkModel = NetworkModel()
    override: Override = Override()
    faults: tuple[AnyFault, ...] = ()

    @model_validator(mode="after")
    def _faults_fit(self) -> Scenario:
        last: dict[str, AnyFault] = {}
        names: set[str] = set()
        for fault in sorted(self.faults, key=lambda fault: fault.at_s):
            if fault.id in names:
                raise ValueError(f"faults: id {fault.id!r} is used twice; give each fault a name of its own")
            names.add(fault.id)
            if fault.at_s < self.warm_up_s:
                raise ValueError(
                    f"faults: {fault.id!r} strikes at {fault.at_s:g} s, within the warm-up of {self.warm_up_s:g} s; "
                    "strike later or shorten warm_up_s"
                )
            if fault.at_s + fault.for_s > self.duration_s:
                raise ValueError(
                    f"faults: {fault.id!r} is healed at {fault.at_s + fault.for_s:g} s, after the end of the run at "
                    f"{self.duration_s:g} s; heal it earlier or lengthen duration_s"
                )
            before = last.get(fault.what)
            if before is not None and fault.at_s <= before.at_s + before.for_s:
                raise ValueError(
                    f"faults: {fault.id!r} strikes {fault.what} before {before.id!r} is healed; one thing carries one "
                    "fault at a time"
                )
            last[fault.what] = fault
        return self


class Setup(_Part):
    """A scenario with the plant and the site it runs on, overrides applied, and what each was read from."""

    scenario: Scenario
    plant: Plant
    site: Site
    documents: dict[str, dict[str, Any]]  # scenario, plant, site: as data, to be written into the run folder


def shipped() -> dict[str, Path]:
    """Name and file of every scenario in the library, in order of name."""
    with resources.as_file(LIBRARY) as folder:
        return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(name: str) -> Path:
    """The file of a scenario given by its name or by its path. Raises UsageError when there is none."""
    library = shipped()
    if name in library:
        return library[name]
    if name.endswith((".yaml", ".yml")) or os.sep in name:
        if Path(name).is_file():
            return Path(name)
        raise UsageError(f"Scenario file {name} does not exist. Give the path of a scenario file, or one of the "
                         f"shipped scenarios: {', '.join(library)}.")  # fmt: skip
    raise UsageError(
        f"Unknown scenario {name!r}. Shipped scenarios: {', '.join(library)}. For a file of your own give its path, "
        f"ending in .yaml."
    )


def _plant_folder(plant: str, scenario_file: Path) -> Path:
    with resources.as_file(PLANTS) as shipped_plants:
        for folder in (shipped_plants / plant, scenario_file.parent / plant, Path(plant)):
            if (folder / "plant.yaml").is_file() and (folder / "site.yaml").is_file():
                return folder
        known = ", ".join(sorted(path.name for path in shipped_plants.iterdir() if path.is_dir()))
    raise UsageError(
        f"{scenario_file}: plant {plant!r} is neither a shipped plant ({known}) nor a folder with plant.yaml and "
        f"site.yaml. Set `plant` to one of these."
    )


def set_up(scenario_file: Path) -> Setup:
    """Read a scenario, its plant and its site. Raises ConfigError (every problem of a file at once) or UsageError."""
    scenario = load(scenario_file, Scenario)
    folder = _plant_folder(scenario.plant, scenario_file)
    return set_up_files(scenario, folder / "plant.yaml", folder / "site.yaml")


def set_up_files(scenario: Scenario, plant_file: Path, site_file: Path) -> Setup:
    """Join a scenario with plant and site files and apply its overrides. Raises ConfigError."""
    plant = load(plant_file, Plant, override=scenario.override.plant)
    site = load(site_file, Site, override=scenario.override.site)
    documents = {
        "scenario": scenario.model_dump(mode="json", exclude_defaults=True),
        "plant": plant.model_dump(mode="json", exclude_defaults=True, by_alias=True),
        "site": site.model_dump(mode="json", exclude_defaults=True, by_alias=True),
    }
    return Setup(scenario=scenario, plant=plant, site=site, documents=documents)


def to_yaml(document: dict[str, Any]) -> str:
    """A document as YAML that every YAML reader takes for the same data."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def shortened(setup: Setup, duration_s: float) -> Setup:
    """The same setup with a run of `duration_s`; faults that no longer fit are left out."""
    faults = tuple(fault for fault in setup.scenario.faults if fault.at_s + fault.for_s <= duration_s)
    warm_up_s = min(setup.scenario.warm_up_s, duration_s)
    update = {"duration_s": duration_s, "faults": faults, "warm_up_s": warm_up_s}
    scenario = setup.scenario.model_copy(update=update)
    documents = setup.documents | {"scenario": scenario.model_dump(mode="json", exclude_defaults=True)}
    return setup.model_copy(update={"scenario": scenario, "documents": documents})
