"""docs/plant.md says what the code does: its example loads, its lists are complete; its table has `make docs`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from shakedown.bridge.yamlfile import parse, validate
from shakedown.twin.line import Plant, drivers, signal_spec
from shakedown.twin.line.states import State
from shakedown.twin.line.upsets import UPSETS
from shakedown.twin.line.upsets.drop_out import STATUS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "plant.md"


def test_the_example_is_a_plant() -> None:
    example = re.search(r"```yaml\n(format: 1.*?)```", PAGE.read_text(), re.DOTALL)
    assert example is not None
    plant = validate(*parse(example[1], "docs/plant.md"), Plant)
    assert len(list(plant.each_signal())) == 5


def test_every_register_driver_state_and_status_is_explained() -> None:
    text = PAGE.read_text()
    registers = get_args(signal_spec.Register)
    driving = {
        *drivers.MACHINE_DRIVERS,
        *drivers.CONVEYOR_DRIVERS,
        *drivers.RESERVOIR_DRIVERS,
        *drivers.PLANT_DRIVERS,
    }
    kinds = [get_args(upset.model_fields["kind"].annotation)[0] for upset in UPSETS]
    for name in [*sorted(registers), *sorted(driving), *STATUS, *kinds]:
        assert f"`{name}`" in text, name
    for state in State:
        assert re.search(rf"\| {int(state)} \| {state.name.title()} ", text), state
