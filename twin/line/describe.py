"""A plant's signals as a table for people."""

from __future__ import annotations

from shakedown.twin.line.plant import Plant
from shakedown.twin.line.signal_spec import SignalSpec


def signal_table(plant: Plant) -> list[str]:
    """Rows of a Markdown table of every signal of a plant, in the order of the ledger's indices."""
    rows = [
        "| machine | signal | tag | type | unit | range | shows |",
        "|---|---|---|---|---|---|---|",
    ]
    for owner, name, spec in plant.each_signal():
        limits = " to ".join(f"{limit:g}" for limit in spec.range or ())
        cells = (owner, name, f"`{spec.tag}`", spec.type, spec.unit, limits, _shows(spec))
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _shows(spec: SignalSpec) -> str:
    if spec.response:
        lag = f", lag {spec.response.tau_s:g} s" if spec.response.tau_s else ""
        return f"{spec.description}; steps of {spec.response.resolution:g}{lag}"
    if spec.totaliser:
        return f"{spec.description}; a meter in steps of {spec.totaliser.resolution:g}"
    return spec.description
