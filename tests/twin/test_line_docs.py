"""docs/plant.md says what the code does: its table is the plant's, its example loads, its lists are complete.

`python tests/twin/test_line_docs.py` writes the table anew.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from shakedown.bridge.yamlfile import load, parse, validate
from shakedown.twin.line import Plant, drivers, signal_spec
from shakedown.twin.line.describe import signal_table
from shakedown.twin.line.states import State
from shakedown.twin.line.upsets import UPSETS
from shakedown.twin.line.upsets.drop_out import STATUS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "plant.md"
TABLE = re.compile(r"(<!-- signals of bottling -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def _table() -> str:
    return signal_table(load(ROOT / "scenarios" / "plants" / "bottling" / "plant.yaml", Plant))


def test_the_table_of_signals_is_that_of_the_plant() -> None:
    found = TABLE.search(PAGE.read_text())
    assert found is not None, "docs/plant.md has lost the marks around its table"
    assert found[2] == _table(), "write it anew with `python tests/twin/test_line_docs.py`"


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


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda found: found[1] + _table() + found[3], PAGE.read_text()))
