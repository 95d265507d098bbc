"""The equipment model of the bottling line fits its plant: every signal once, units that convert, states that cover."""

from __future__ import annotations

from pathlib import Path

import pytest

from shakedown.bridge.config import Site, compile_site, load_site
from shakedown.bridge.core import datatypes
from shakedown.bridge.yamlfile import load
from shakedown.twin.line import Plant
from shakedown.twin.line.signals import signals_of
from shakedown.twin.line.states import State

FOLDER = Path(__file__).parents[2] / "scenarios" / "plants" / "bottling"
CANONICAL = {"", "CEL", "PAL", "MTS", "RPS", "MQS", "MTQ", "WTT", "JOU", "AMP", "NU", "NEW", "C62", "H87"}


@pytest.fixture(scope="module")
def plant() -> Plant:
    return load(FOLDER / "plant.yaml", Plant)


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(FOLDER / "site.yaml")


def test_every_signal_is_carried_once_under_the_vendors_unit(plant: Plant, site: Site) -> None:
    entries = [
        entry
        for assets in site.cells.values()
        for asset in assets.values()
        for entry in asset.metrics.values()
    ]
    carried = {entry.node: entry.from_unit or entry.unit for entry in entries}
    assert len(carried) == len(entries)
    assert carried == {signal.node_id: signal.unit for signal in signals_of(plant)}
    assert {entry.unit for entry in entries} <= CANONICAL


def test_one_device_for_each_machine_with_a_heartbeat_of_its_own(plant: Plant, site: Site) -> None:
    model = compile_site(site)
    owner = {signal.node_id: signal.machine for signal in signals_of(plant)}
    machines = {metric.device: owner[metric.node_id] for metric in model.metrics if metric.device}
    assert len(machines) == len(set(machines.values())) == len(plant.signals)
    assert all(owner[metric.node_id] == machines[metric.device] for metric in model.metrics if metric.device)
    beats = [m for m in model.metrics if m.device and m.name == "heartbeat"]
    assert {beat.device for beat in beats} == set(machines)


def test_every_state_of_a_machine_has_a_canonical_one(site: Site) -> None:
    states = [metric.states for metric in compile_site(site).metrics if metric.states]
    assert len(states) == 4
    for mapping in states:
        assert mapping.keys() == {int(state) for state in State}
        assert set(mapping.values()) == {"run", "idle", "fault", "changeover"}


def test_types_hold_what_the_vendor_sends(plant: Plant, site: Site) -> None:
    vendor = {signal.node_id: signal.data_type for signal in signals_of(plant)}
    for metric in compile_site(site).metrics:
        if metric.device and not metric.states:
            converted = (metric.factor, metric.offset) != (1.0, 0.0)
            expected = "Double" if converted else vendor[metric.node_id]
            assert metric.datatype == datatypes.NUMBER[expected], metric
