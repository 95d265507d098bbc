"""`shakedown show`: every shipped file, as it is."""

import pytest

from shakedown.scenarios import model
from shakedown.scenarios.plant_files import PLANTS
from shakedown.scenarios.show_command import shipped_files


def test_every_shipped_scenario_and_plant_file_can_be_shown(line):
    listed = line.here("show").stdout.split()
    assert set(model.shipped()) < set(listed)
    assert {"bottling/plant", "bottling/site", "bottling/overlays/shift", "naive"} < set(listed)
    assert line.here("show", "wan_outage").stdout == model.find("wan_outage").read_text()
    site = (PLANTS / "bottling" / "site.yaml").read_text()
    assert line.here("show", "bottling/site.yaml").stdout == site


def test_names_are_not_given_twice():
    files = shipped_files()
    assert len(set(files.values())) == len(files)


@pytest.mark.parametrize(
    ("name", "near"),
    [("wan_outtage", "wan_outage"), ("bottling", "bottling/plant"), ("../pyproject", "lists them")],
)
def test_what_is_not_there_is_refused_with_what_is_near(line, name, near):
    found = line.here("show", name)
    assert found.returncode == 2
    assert near in found.stderr
