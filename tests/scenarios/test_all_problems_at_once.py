"""One mistake in a file does not hide another, and causes none that is not there."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from shakedown.bridge import config
from shakedown.bridge.yaml_problems import path_in_file, problem
from shakedown.bridge.yamlfile import ConfigError, Marks, Reading, read
from shakedown.scenarios import model
from shakedown.scenarios.bridges.find import find_bridge, shipped_bridges
from shakedown.scenarios.plant_files import find_plant
from shakedown.scenarios.scenario import Scenario
from shakedown.twin.line.plant import Plant

BOTTLING = Path(__file__).parents[2] / "scenarios" / "plants" / "bottling"
SHIFT = model.set_up(model.find("shift_short")).documents
SHIFT["scenario"] = model.set_up(model.find("wan_outage")).documents["scenario"]
MODELS = {"plant": Plant, "site": config.Site, "scenario": Scenario}

Steps = tuple[str | int, ...]


def each_path(value: Any, path: Steps = ()) -> Iterator[Steps]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from each_path(inner, (*path, key))


def spoiled(document: dict[str, Any], path: Steps) -> dict[str, Any]:
    """The document with something at `path` that can stand nowhere."""
    result = copy.deepcopy(document)
    at: Any = result
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = 7 if isinstance(at[path[-1]], dict) else {"b?d": {"no": [1]}}
    return result


def told_by_the_model_alone(document: dict[str, Any], marks: Marks, of: type[BaseModel]) -> set[str]:
    try:
        of.model_validate(document)
    except ValidationError as error:
        items = error.errors(include_url=False)
        return {problem(item, path_in_file(item["loc"], document), marks, of) for item in items}
    return set()


@pytest.mark.parametrize(("name", "each"), [("plant", 17), ("site", 11), ("scenario", 1)])
def test_one_mistake_is_told_as_one(name: str, each: int) -> None:
    marks, of = Marks(f"{name}.yaml"), MODELS[name]
    paths = list(each_path(SHIFT[name]))[::each]
    assert len(paths) >= 20
    for path in paths:
        document = spoiled(SHIFT[name], path)
        reading = Reading(document, marks, of)
        if name == "site":
            reading.check(lambda site, marks=marks: config.check_site(site, marks))  # type: ignore[misc]
        expected = told_by_the_model_alone(document, marks, of)
        if expected:
            assert set(reading.problems) == expected, path
            with pytest.raises(ConfigError):
                reading.settled()


def test_a_wrong_field_hides_no_contradiction_elsewhere() -> None:
    document, marks = read(BOTTLING / "plant.yaml")
    document["machines"]["filler"]["colour"] = "red"
    document["machines"]["packer"]["reject_rate"] = -1
    document["machines"]["capper"]["failures"]["cap_jam"]["code"] = 210
    document["orders"][0]["quantity"] = 0
    document["orders"][1]["product"] = "lemonde_1000"
    document["reservoirs"]["bowl"]["low"] = 0.95
    document["upsets"]["cap_jam"]["mode"] = "jam"
    problems = "\n".join(Reading(document, marks, Plant).problems)
    for place in (
        "machines.filler.colour: unknown field",
        "machines.packer.reject_rate: ",
        "machines.capper.failures.",
        "orders.0.quantity: ",
        "orders.1.product: unknown product 'lemonde_1000'",
        "reservoirs.bowl: low 0.95 is not below",
        "upsets.cap_jam.mode: capper has no failure 'jam'",
    ):
        assert f": {place}" in problems, place
    assert len(problems.splitlines()) == 7
    line = marks.values["orders", 1, "product"][0]
    assert f"plant.yaml:{line}:" in problems  # its own, though the order before it is left out


def test_a_fault_after_wrong_ones_keeps_its_own_place(tmp_path: Path) -> None:
    scenario = tmp_path / "mine.yaml"
    scenario.write_text(
        "name: mine\ntitle: t\nduration_s: 600\nfaults:\n"
        "  - {id: a, kind: down, target: wan, at_s: 100, for_s: 20}\n"
        "  - {id: b, kind: down, target: wan, at_s: 200, for_s: long}\n"
        "  - {id: c, kind: down, target: wan, at_s: 300, fro_s: 20}\n"
        "  - {id: d, kind: down, target: wan, at_s: 400, for_s: 240}\n"
    )
    with pytest.raises(ConfigError) as refused:
        model.set_up(scenario)
    assert refused.value.problems[-1].startswith(f"{scenario}:8:56: faults.3.for_s: 'd' is healed at 640 s")


def test_plant_site_and_scenario_are_told_together(tmp_path: Path) -> None:
    plant = (
        (BOTTLING / "plant.yaml").read_text().replace("reject_rate: ", "colour: red\n    reject_rate: ", 1)
    )
    site = (BOTTLING / "site.yaml").read_text().replace("ns=2;s=", "ns=2;s=x", 1)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "plant.yaml").write_text(plant)
    (tmp_path / "own" / "site.yaml").write_text(site)
    scenario = tmp_path / "mine.yaml"
    scenario.write_text(
        "name: mine\ntitle: t\nplant: own\nduration_s: 600\nwarm_up_s: 60\nfaults:\n"
        "  - {id: early, kind: down, target: wan, at_s: 10, for_s: 20}\n"
        "  - {id: late, kind: down, target: wan, at_s: 590, for_s: 20}\n"
        "  - {id: late, kind: down, target: wan, at_s: 595, for_s: 1}\n"
        "  - {id: worn, kind: cmms_errors, target: cmms, at_s: 300, for_s: 1}\n"
        "  - {id: odd, kind: donw, at_s: 300, for_s: 1}\n"
    )
    with pytest.raises(ConfigError) as refused:
        model.set_up(scenario)
    problems = "\n".join(refused.value.problems)
    for told in (
        "mine.yaml:7:48: faults.0.at_s: 'early' strikes at 10 s, within the warm-up",
        "mine.yaml:8:59: faults.1.for_s: 'late' is healed at 610 s, after the end",
        "mine.yaml:9:10: faults.2.id: 'late' is used twice",
        "mine.yaml:9:47: faults.2.at_s: 'late' strikes wan before 'late' is healed",
        "faults.3.target: 'worn' (cmms_errors) strikes a cmms, and this lab has none",
        "mine.yaml:11:21: faults.4.kind: unknown kind 'donw' - did you mean 'down'",
        "plant.yaml:21:5: machines.filler.colour: unknown field",
        "has no signal 'ns=2;s=x",
    ):
        assert told in problems, problems


def test_what_hides_the_scenario_hides_nothing_of_its_plant(tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "overlays").mkdir(parents=True)
    (own / "plant.yaml").write_text((BOTTLING / "plant.yaml").read_text() + "scan_ms: 100\ncolour: red\n")
    (own / "site.yaml").write_text((BOTTLING / "site.yaml").read_text() + "area: packing\ncolour: red\n")
    (own / "overlays" / "late.yaml").write_text("plant: {scan_ms: 1000}\nsite: {area: 7}\ncolour: red\n")
    texts = {
        "mine": "name: mine\ntitle: t\ntitle: u\nplant: own\noverlays: [late]\nduration_s: long\n",
        "gone": "name: gone\ntitle: t\nplant: gone\nduration_s: long\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        model.set_up_all(tmp_path / f"{name}.yaml" for name in texts)
    problems = "\n".join(refused.value.problems)
    for told in (
        "mine.yaml:3:1: title: duplicate key",
        "mine.yaml:6:13: duration_s: is not a number ('long')",
        "plant.yaml:290:1: scan_ms: duplicate key",
        "plant.yaml:291:1: colour: unknown field",
        "site.yaml:127:1: area: duplicate key",
        "late.yaml:2:14: area: is a number, expected a text",
        "site.yaml:128:1: colour: unknown field",
        "late.yaml:3:1: colour: unknown field",
        "gone.yaml:4:13: duration_s: is not a number",
        "gone.yaml: plant 'gone' is neither a shipped plant",
    ):
        assert told in problems, (told, problems)


def test_a_wrong_setting_of_the_only_connection_hides_nothing_of_the_metrics(tmp_path: Path) -> None:
    text = (BOTTLING / "site.yaml").read_text()
    for right, wrong in (
        ("keep_alive_s: 30", "keep_alive_s: x"),
        ("from: FAH, unit: CEL", "from: FAH, unit: CELX"),
    ):
        text = text.replace(right, wrong, 1)
    (tmp_path / "site.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        config.load_site(tmp_path / "site.yaml")
    problems = "\n".join(refused.value.problems)
    assert "north.enterprise.keep_alive_s: is a text, expected a whole number ('x')" in problems
    assert "bowl_temperature.unit: is not a UNECE unit known here ('CELX')" in problems


@pytest.mark.parametrize(
    ("read", "file", "said"),
    [
        (model.set_up, BOTTLING / "site.yaml", "is a site file, not a scenario - give a scenario, shipped or"),
        (model.set_up, BOTTLING / "plant.yaml", "is a plant file, not a scenario - give a scenario, shipped or"),
        (model.set_up, BOTTLING / "overlays" / "shift.yaml", "is an overlay, not a scenario - name it in `overlays`"),
        (model.set_up, shipped_bridges()["telegraf"], "is a bridge file, not a scenario - give a scenario, and this"),
        (find_bridge, BOTTLING / "site.yaml", "is a site file, not a bridge file - give a bridge file as"),
        (find_plant, model.find("wan_outage"), "is a scenario, not a plant file - give a plant.yaml, its folder"),
        (config.load_site, model.find("wan_outage"), "is not a site file, it has neither enterprise nor south,"),
        (config.load_site, BOTTLING / "plant.yaml", "is not a site file, it has neither enterprise nor south,"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_named_as_one(read: Any, file: Path, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(str(file) if read in (find_bridge, find_plant) else file)
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith(f"{file}: {said}")
