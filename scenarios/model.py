"""Scenario files, and the plants they run on: finding, reading, and laying one over the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ValidationError

from shakedown.bridge import config
from shakedown.bridge.config import Site
from shakedown.bridge.yaml_problems import bounded
from shakedown.bridge.yamlfile import ConfigError, Marks, Reading, read, read_on
from shakedown.scenarios import checks
from shakedown.scenarios.errors import UsageError, meant
from shakedown.scenarios.file_kinds import refuse_another_kind
from shakedown.scenarios.parts.plan import BRIDGE, Plan, plan
from shakedown.scenarios.plant_files import PLANTS, known_plants
from shakedown.scenarios.scenario import Override, PartModel, Scenario
from shakedown.scenarios.security import secured
from shakedown.scenarios.setups import Setup
from shakedown.twin.line.plant import Plant

LIBRARY = resources.files("shakedown.scenarios") / "library"

M = TypeVar("M", bound=BaseModel)


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
        raise UsageError(f"Scenario file {name} does not exist.{meant(Path(name).stem, library)} Give the path of a "
                         f"scenario file, or one of the shipped scenarios: {', '.join(library)}.")  # fmt: skip
    raise UsageError(
        f"Unknown scenario {name!r}.{meant(name, library)} Shipped scenarios: {', '.join(library)}. For a file of your "
        "own give its path, ending in .yaml."
    )


def _plant_folder(plant: str, scenario_file: Path) -> Path:
    with resources.as_file(PLANTS) as shipped_plants:
        for folder in (shipped_plants / plant, scenario_file.parent / plant, Path(plant)):
            if (folder / "plant.yaml").is_file() and (folder / "site.yaml").is_file():
                return folder
    raise UsageError(
        f"{scenario_file}: plant {plant!r} is neither a shipped plant ({known_plants()}) nor a folder with plant.yaml "
        f"and site.yaml. Set `plant` to one of these."
    )


def set_up(scenario_file: Path) -> Setup:
    """Read a scenario, and plant and site of each of its bridges.

    Raises ConfigError (every problem of all of them) or UsageError.
    """
    document, marks, problems = read_on(scenario_file)
    refuse_another_kind(document, scenario_file, "scenario")
    reading = Reading(document, marks, Scenario, problems)
    scenario = reading.model or _ground(document) or reading.settled()
    common = Layer(scenario.override, marks, ("override",))
    sources = {}
    try:
        for name, part in {BRIDGE: PartModel(kind="bridge"), **scenario.parts}.items():
            if part.kind == "bridge":
                folder = _plant_folder(part.plant or scenario.plant, scenario_file)
                overlays = scenario.overlays if part.overlays is None else part.overlays
                layers = [_overlay(folder, overlay, scenario_file, reading) for overlay in overlays]
                own = Layer(part.override, marks, ("parts", name, "override"))
                sources[name] = Source(folder, [*layers, common, own])
    except UsageError as error:
        if reading.problems:
            raise ConfigError([*reading.problems, str(error)]) from None
        raise
    if reading.model is not None and reading.model.rules_beside:
        folder = _plant_folder(scenario.plant, scenario_file)
        rules = _rules(folder, scenario, scenario_file)
        document = document | {"rules_beside": rules}
        reading.model = reading.model.model_copy(update={"rules_beside": rules})
    return _join(reading, document, sources)


def set_up_all(scenario_files: Iterable[Path]) -> list[Setup]:
    """Read several scenarios; raises like `set_up`, with the problems of all of them."""
    setups, problems = [], []
    for file in scenario_files:
        try:
            setups.append(set_up(file))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(bounded(list(dict.fromkeys(problems))))
    return setups


def _ground(document: Any) -> Scenario | None:
    """What a scenario that cannot be read says of its plant: what is wrong there is reported with the rest."""
    named = {"plant", "overlays", "parts", "override", "secure"}
    if not isinstance(document, dict):
        return None
    said = {key: value for key, value in document.items() if key in named}
    try:
        return Scenario.model_validate({"name": "unread", "title": "", "duration_s": 1, **said})
    except ValidationError:
        return None


def _rules(folder: Path, scenario: Scenario, scenario_file: Path) -> dict[str, Any]:
    """The alarms of the plant's site under the overlays of `rules_beside`, as data: a run folder keeps them."""
    if isinstance(scenario.rules_beside, dict):
        return scenario.rules_beside
    beside: Reading[Override] = Reading({}, Marks(""), Override)
    layers = [_overlay(folder, overlay, scenario_file, beside) for overlay in scenario.rules_beside]
    document, site = _overridden(folder / "site.yaml", Site, layers)
    site.settled(beside)
    return dict(document.get("alarms") or {})


def set_up_again(folder: Path, beside: Mapping[str, Path] | None = None) -> Setup:
    """Read the inputs that a run folder keeps; their overrides are applied already. Raises ConfigError.

    `beside` are the folders of all bridges of the run by name, None for a run with one.
    """
    document, marks = read(folder / "scenario.yaml")
    reading = Reading(document, marks, Scenario)
    if reading.model is not None:
        parts = {
            name: part.model_copy(update={"override": Override(), "overlays": None, "plant": None})
            for name, part in reading.model.parts.items()
        }
        update = {"override": Override(), "overlays": (), "parts": parts}
        reading.model = reading.model.model_copy(update=update)
    return _join(
        reading, document, {name: Source(place, []) for name, place in (beside or {BRIDGE: folder}).items()}
    )


class Source(NamedTuple):
    """Where the line of a bridge comes from."""

    folder: Path
    layers: list[Layer]


class Layer(NamedTuple):
    """What is laid over a plant's files, and where that is written."""

    override: Override
    marks: Marks
    prefix: tuple[str, ...] = ()


def _overlay(folder: Path, name: str, scenario_file: Path, scenario: Reading[Any]) -> Layer:
    """One overlay as far as it could be read; what is wrong with it is added to the problems of `scenario`."""
    file = folder / "overlays" / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in file.parent.glob("*.yaml"))) or "none"
        raise UsageError(f"{scenario_file}: overlays: {name!r} is not in {file.parent}, which has: {known}.")
    document, marks, problems = read_on(file)
    overlay = Reading(document, marks, Override, problems)
    scenario.problems += overlay.problems
    return Layer(overlay.model or Override(), marks)


def _join(scenario: Reading[Scenario], document: dict[str, Any], sources: Mapping[str, Source]) -> Setup:
    is_secure = scenario.model is not None and scenario.model.secure
    lines = {name: _Line(name, source, is_secure) for name, source in sources.items()}
    sites = {
        name: (line.site.model, line.site.marks)
        for name, line in lines.items()
        if line.site.model is not None
    }
    plans: dict[str, Plan] = {}
    readings = [reading for line in lines.values() for reading in (line.plant, line.site)]
    if len(sites) == len(lines):
        scenario.check(lambda found: plans.update(plan(found, scenario.marks, sites)), *readings)
    scenario.check(lambda found: checks.check_faults(found, scenario.marks, plans))
    settled = scenario.settled(*readings)
    setups = [
        Setup(
            scenario=settled,
            plant=line.plant.settled(),
            site=line.site.settled(),
            documents={"scenario": document, "plant": line.plant_document, "site": line.site_document},
            plans=plans,
            name=name,
        )
        for name, line in lines.items()
    ]
    return setups[0].model_copy(update={"others": tuple(setups[1:])})


class _Line:
    """Plant and site of one bridge, as far as they could be read."""

    def __init__(self, bridge: str, source: Source, is_secure: bool) -> None:
        folder, layers = source
        lift = (lambda site: secured(site, bridge)) if is_secure else _as_it_is
        self.plant_document, self.plant = _overridden(folder / "plant.yaml", Plant, layers)
        self.site_document, self.site = _overridden(folder / "site.yaml", Site, layers, lift)
        site = self.site
        # A copy is compiled: setups are equal wherever they were read from.
        site.check(lambda found: config.check_site(found.model_copy(), site.marks))
        if (model := self.plant.model) is not None:
            site.check(lambda found: checks.check_site(found, site.marks, model, is_secure), self.plant)


def _as_it_is(document: Any) -> Any:
    return document


def _overridden(
    file: Path, model: type[M], layers: list[Layer], change: Callable[[Any], Any] = _as_it_is
) -> tuple[dict[str, Any], Reading[M]]:
    document, marks, problems = read_on(file)
    if isinstance(document, dict):
        for layer in layers:
            document = _merged(document, getattr(layer.override, file.stem))
            marks.layers.append((layer.marks, (*layer.prefix, file.stem)))
    document = change(document)
    return document, Reading(document, marks, model, problems)


def _merged(document: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """`document` with the keys of `override` set, mappings merged key by key; null takes a key away (RFC 7396)."""
    result = dict(document)
    for key, value in override.items():
        if value is None:
            result.pop(key, None)
            continue
        before = result.get(key)
        result[key] = (
            _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
        )
    return result


def to_yaml(document: dict[str, Any]) -> str:
    """A document as YAML that every YAML reader takes for the same data."""
    return yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=120)


def aligned(setup: Setup, begins_ns: int) -> Setup:
    """The same setup for lines that begin at `begins_ns`: there the calendar of their OEE begins too."""
    return setup.each(lambda one: _aligned(one, begins_ns) if one.site.oee else one)


def _aligned(setup: Setup, begins_ns: int) -> Setup:
    begins = datetime.fromtimestamp(begins_ns // 1_000_000_000, UTC)
    oee, document = {}, dict(setup.documents["site"])
    document["oee"] = dict(document["oee"])
    for name, line in setup.site.oee.items():
        wall = begins.astimezone(ZoneInfo(line.time_zone))
        offset_s = 3600 * wall.hour + 60 * wall.minute + wall.second
        oee[name] = line.model_copy(update={"offset_s": float(offset_s)})
        document["oee"][name] = document["oee"][name] | {"offset_s": offset_s}
    site = setup.site.model_copy(update={"oee": oee})
    return setup.model_copy(update={"site": site, "documents": setup.documents | {"site": document}})


def shortened(setup: Setup, duration_s: float) -> Setup:
    """The same setup with a run of `duration_s`; faults that no longer fit are left out."""
    return setup.each(lambda one: _shortened(one, duration_s))


def _shortened(setup: Setup, duration_s: float) -> Setup:
    faults = tuple(fault for fault in setup.scenario.faults if fault.at_s + fault.for_s <= duration_s)
    warm_up_s = min(setup.scenario.warm_up_s, duration_s)
    update = {"duration_s": duration_s, "faults": faults, "warm_up_s": warm_up_s}
    scenario = setup.scenario.model_copy(update=update)
    kept = {fault.id for fault in faults}
    document = setup.documents["scenario"] | {"duration_s": duration_s, "warm_up_s": warm_up_s}
    document["faults"] = [fault for fault in document.get("faults", []) if fault["id"] in kept]
    documents = setup.documents | {"scenario": document}
    return setup.model_copy(update={"scenario": scenario, "documents": documents})
