"""A plant as a drawing: machines in the order of flow, belts between them, what they use up below (static SVG)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from shakedown.twin.line.plant import Plant
from shakedown.twin.line.specs import ConveyorSpec, MachineSpec, ReservoirSpec

BOX_W, BOX_H, BELT_W = 200, 104, 130
MARGIN, LINE_H, HEAD_H = 24, 17, 52
RESERVOIR_W, RESERVOIR_H, DROP = 190, 58, 66
S_PER_H = 3_600

STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1c2733}"
    ".name{font-weight:600;font-size:14px}.small{font-size:11px;fill:#526070}"
    ".machine{fill:#eef3f8;stroke:#35516e}.counts{stroke-width:3}.belt{fill:#d9dee4;stroke:#8593a2}"
    ".reservoir{fill:#e6f2ea;stroke:#3f7d57}.pipe{fill:none;stroke:#3f7d57;stroke-width:1.5}"
    ".flow{stroke:#35516e;stroke-width:2;fill:none}"
)


def draw_line(plant: Plant) -> str:
    """SVG of a plant's line, as a document of its own; the machine whose output counts has the thick border."""
    count = len(plant.machines)
    width = 2 * MARGIN + count * BOX_W + (count - 1) * BELT_W
    middle = HEAD_H + BOX_H / 2
    below = HEAD_H + BOX_H + DROP
    height = below + RESERVOIR_H + MARGIN if plant.reservoirs else HEAD_H + BOX_H + MARGIN
    lefts = {name: MARGIN + place * (BOX_W + BELT_W) for place, name in enumerate(plant.machines)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="Line {escape(plant.plant)}">',
        f"<style>{STYLE}</style>",
        _text(MARGIN, 24, plant.plant, "name"),
        _text(MARGIN, 41, plant.description, "small"),
    ]
    for (name, machine), left in zip(plant.machines.items(), lefts.values(), strict=True):
        parts += _machine(plant, name, machine, left)
    for (name, conveyor), left in zip(plant.conveyors.items(), lefts.values(), strict=False):
        parts += _belt(name, conveyor, left + BOX_W, middle)
    share = (width - 2 * MARGIN) / max(len(plant.reservoirs), 1)
    for place, (name, reservoir) in enumerate(plant.reservoirs.items()):
        parts += _reservoir(name, reservoir, MARGIN + (place + 0.5) * share, below, lefts)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _machine(plant: Plant, name: str, spec: MachineSpec, left: float) -> Iterator[str]:
    counts = " counts" if name == plant.counted_machine else ""
    rate = S_PER_H / spec.cycle.mean_s
    batch = f", {spec.batch} at a time" if spec.batch > 1 else ""
    yield f'<rect class="machine{counts}" x="{left}" y="{HEAD_H}" width="{BOX_W}" height="{BOX_H}" rx="6"/>'
    told = [
        f"{rate:,.0f} an hour{batch}",
        f"small stops: {len(spec.stoppages)}, failure modes: {len(spec.failures)}",
        f"signals: {len(plant.signals.get(name, {}))}",
    ]
    if name in plant.assets:
        asset = plant.assets[name]
        told.append(f"{asset.equipment}: {asset.assignments[0].physical_asset}")
    yield _text(left + 12, HEAD_H + 22, name, "name")
    for row, text in enumerate(told):
        yield _text(left + 12, HEAD_H + 42 + row * LINE_H, text, "small")


def _belt(name: str, spec: ConveyorSpec, left: float, middle: float) -> Iterator[str]:
    centre = left + BELT_W / 2
    yield f'<rect class="belt" x="{left + 8}" y="{middle - 7}" width="{BELT_W - 16}" height="14" rx="7"/>'
    yield f'<path class="flow" d="M{centre - 8} {middle}h14m-5 -4l5 4l-5 4"/>'
    yield _text(centre, middle - 14, name, "small", "middle")
    yield _text(centre, middle + 22, f"{spec.capacity} parts, {spec.transit_s:g} s", "small", "middle")


def _reservoir(
    name: str, spec: ReservoirSpec, centre: float, top: float, lefts: Mapping[str, float]
) -> Iterator[str]:
    for user in spec.users:
        end = lefts[user] + BOX_W / 2
        yield (
            f'<path class="pipe" d="M{centre:g} {top}C{centre:g} {top - DROP / 2:g} {end:g} {top - DROP / 2:g} '
            f'{end:g} {HEAD_H + BOX_H}"/>'
        )
    left = centre - RESERVOIR_W / 2
    yield f'<rect class="reservoir" x="{left:g}" y="{top}" width="{RESERVOIR_W}" height="{RESERVOIR_H}" rx="18"/>'
    yield _text(centre, top + 23, name, "name", "middle")
    refilled = f"{spec.capacity:g}, refilled from {spec.low:.0%} to {spec.high:.0%}"
    yield _text(centre, top + 42, refilled, "small", "middle")


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
