"""The drawing of a plant: everything is in it, once, within its frame; a name cannot break it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from shakedown.bridge.yamlfile import load
from shakedown.twin.line import Plant
from shakedown.twin.line.draw import draw_line
from tests.twin.line_rig import document

BOTTLING = Path(__file__).parents[2] / "scenarios" / "plants" / "bottling" / "plant.yaml"
SVG = "{http://www.w3.org/2000/svg}"


def test_everything_of_the_line_is_drawn_once() -> None:
    plant = load(BOTTLING, Plant)
    root = ET.fromstring(draw_line(plant))
    names = [text.text for text in root.iter(f"{SVG}text")]
    for name in (*plant.machines, *plant.conveyors, *plant.reservoirs):
        assert names.count(name) == 1, name
    classes = [rect.get("class", "") for rect in root.iter(f"{SVG}rect")]
    assert sum(name.startswith("machine") for name in classes) == 4
    assert sum("counts" in name for name in classes) == 1
    assert sum(path.get("class") == "pipe" for path in root.iter(f"{SVG}path")) == sum(
        len(reservoir.users) for reservoir in plant.reservoirs.values()
    )
    assert "6,000 an hour" in names
    assert "1,125 an hour, 6 at a time" in names


def test_boxes_lie_within_the_frame_and_apart() -> None:
    root = ET.fromstring(draw_line(load(BOTTLING, Plant)))
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    boxes = [
        tuple(float(rect.get(key, 0)) for key in ("x", "y", "width", "height"))
        for rect in root.iter(f"{SVG}rect")
    ]
    for index, (x, y, w, h) in enumerate(boxes):
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height
        for other_x, other_y, other_w, other_h in boxes[:index]:
            apart = x + w <= other_x or other_x + other_w <= x or y + h <= other_y or other_y + other_h <= y
            assert apart, "two boxes overlap"


def test_the_smallest_plant_and_a_hostile_name_are_drawn() -> None:
    one = {"plant": "one", "machines": {"only": {"cycle": {"mean_s": 2}}}, "conveyors": {}, "signals": {}}
    drawn = draw_line(Plant.model_validate(document(**one, description="<script>alert('a & b')</script>")))
    root = ET.fromstring(drawn)
    assert "<script>alert('a & b')</script>" in [text.text for text in root.iter(f"{SVG}text")]
    assert not re.search(r"<script", drawn)


def test_the_same_plant_is_drawn_the_same() -> None:
    plant = load(BOTTLING, Plant)
    assert draw_line(plant) == draw_line(plant)
