"""The tables of the documentation that follow from tables in the code: `python -m shakedown.scenarios.doc_tables`."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from shakedown.bridge.yamlfile import load
from shakedown.scenarios.faults import OURS, Fault, kind_of
from shakedown.scenarios.parts import kinds, table
from shakedown.twin.line.describe import signal_table
from shakedown.twin.line.plant import Plant

PLANTS = Path(__file__).with_name("plants")
COMMON = {"kind", "id", "at_s", "for_s", "target"}


def fault_rows() -> list[str]:
    """One row for each fault, under its heading."""
    return ["| kind | strikes | what happens | parameters |", "|---|---|---|---|", *map(_fault_row, OURS)]


def _fault_row(fault: type[Fault]) -> str:
    names = [name for name in fault.model_fields if name not in COMMON]
    fixed = [name for name in names if len(get_args(fault.model_fields[name].annotation)) == 1]
    parameters = ", ".join(f"`{name}`" for name in names if name not in fixed)
    struck = {"part": "any part", "conduit": "any conduit"}.get(fault.strikes, f"a `{fault.strikes}`")
    return f"| `{kind_of(fault)}` | {struck} | {fault.what} | {parameters} |".replace("|  |", "| |")


def part_rows() -> list[str]:
    """One row for each kind of part, under its heading."""
    rows = ["| kind | what it is | can be struck |", "|---|---|---|"]
    for name in table.OURS:
        kind = kinds.kind_of(name)
        rows.append(f"| `{name}` | {kind.what} | {'no: it is evidence' if kind.is_evidence else 'yes'} |")
    return rows


def signal_rows() -> list[str]:
    """One row for each signal of the bottling plant, under its heading."""
    return signal_table(load(PLANTS / "bottling" / "plant.yaml", Plant))


TABLES = {
    Path("docs/scenarios.md"): {"faults": fault_rows, "parts": part_rows},
    Path("docs/plant.md"): {"signals of bottling": signal_rows},
}


def written(file: Path, text: str) -> str:
    """The text of a file with every table between its marks as it is now."""
    for name, rows in TABLES[file].items():
        begin, end = f"<!-- {name}: written by make docs -->", f"<!-- {name}: end -->"
        block = "\n".join([begin, *rows(), end])
        head, _, rest = text.partition(begin)
        text = head + block + rest.partition(end)[2]
    return text


if __name__ == "__main__":
    for file in TABLES:
        file.write_text(written(file, file.read_text(encoding="utf-8")), encoding="utf-8")
