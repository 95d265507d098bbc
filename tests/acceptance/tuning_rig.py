"""Run folders for tuning: the bottling line alone with alarms on it, and a single sensor of any noise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import simpy
import yaml

from shakedown.twin.ledger import Ledger
from shakedown.twin.line import Line, Plant

S = 1_000_000_000
START_NS = 1_767_592_800 * S
BOTTLING = Path(__file__).parents[2] / "scenarios/plants/bottling"

ALARMS: dict[str, dict[str, Any]] = {
    **{
        f"{machine}_fault": {"metric": f"{machine}.{machine}_1/state", "state": "fault", "priority": "high"}
        for machine in ("filler", "capper", "labeller", "packer")
    },
    "capper_vibration_high": {"metric": "capper.capper_1/vibration", "high": 0.0065},
    "bowl_temperature_high": {"metric": "filler.filler_1/bowl_temperature", "high": 12.0, "deadband": 0.5},
    "motor_hot": {"metric": "filler.filler_1/motor_temperature", "high": 90.0},
    "seal_cold": {"metric": "packer.packer_1/seal_temperature", "low": 140.0},
    "glue_cold": {"metric": "labeller.labeller_1/glue_temperature", "low": 155.0, "suppress_in": ["changeover"]},
    "gripper_vacuum_low": {
        "metric": "packer.packer_1/gripper_vacuum", "low": 30_000.0, "suppress_in": ["idle", "changeover", "fault"],
    },
    "air_pressure_low": {"metric": "compressed_air.air_receiver_1/header_pressure", "low": 560_000.0},
    "web_tension_low": {
        "metric": "labeller.labeller_1/web_tension", "low": 10.0, "suppress_in": ["idle", "changeover"],
    },
}  # fmt: skip
UPSETS = {
    "bowl_noise": 6.0,
    "vacuum_spikes": 2.0,
    "labeller_flaps": 2.0,
    "turret_bearing": 0.5,
    "current_bad": 2.0,
}


def bottling(folder: Path, hours: float, *, seed: int = 1) -> Path:
    """A run folder of the bottling line without bridge or enterprise: its ledger, and a site.yaml with `ALARMS`."""
    folder.mkdir(parents=True, exist_ok=True)
    document = yaml.safe_load((BOTTLING / "plant.yaml").read_text())
    for name, per_hour in UPSETS.items():
        document["upsets"][name]["per_hour"] = per_hour
    env = simpy.Environment()
    with Ledger(folder / "ledger.jsonl", start_ns=START_NS) as ledger:
        line = Line(Plant.model_validate(document), env, seed, ledger)
        line.start()
        env.run(until=int(hours * 3_600_000) + 1)
    site = yaml.safe_load((BOTTLING / "site.yaml").read_text())
    write_site(folder, site | {"alarms": ALARMS})
    return folder


def write_site(folder: Path, site: dict[str, Any]) -> None:
    (folder / "site.yaml").write_text(yaml.safe_dump(site, sort_keys=False))


def sensor(
    folder: Path,
    values: Sequence[float | None],
    rule: dict[str, Any],
    *,
    faults: Sequence[tuple[int, int, float]] = (),
    states: Sequence[tuple[int, int]] = (),
    others: dict[str, dict[str, Any]] | None = None,
    critical: bool = False,
) -> Path:
    """A run folder of one sensor at 1 Hz (None: Bad). `faults`: (onset, end, response), `states`: (second, number).

    The alarm is `hot`; each fault names it, and the `others`.
    """
    alarms = {"hot": rule, **(others or {})}
    folder.mkdir(parents=True, exist_ok=True)
    signals = [
        {
            "tag": tag,
            "node_id": f"ns=2;s={tag}",
            "machine": "m",
            "data_type": kind,
            "unit": "",
            "scan_ms": 1000,
        }
        for tag, kind in (("T", "Double"), ("STATE", "Int32"))
    ]
    header = {
        "kind": "header",
        "format": 1,
        "plant": "t",
        "seed": 1,
        "start_ns": START_NS,
        "signals": signals,
    }
    rows: list[list[Any]] = [
        ["S", at(second), 0, value, 0 if value is not None else 0x808A0000]
        for second, value in enumerate(values)
    ]
    rows += [["S", at(second), 1, number, 0] for second, number in states]
    for number, (onset, end, response_s) in enumerate(faults):
        data = {
            "id": f"F{number}",
            "mode": "hot",
            "alarms": list(alarms),
            "response_s": response_s,
            "critical": critical,
        }
        rows += [
            ["P", at(second), "fault", "m", {"phase": phase, **data}]
            for phase, second in (("onset", onset), ("repaired", end))
        ]
    rows.sort(key=lambda row: row[1])
    samples = sum(row[0] == "S" for row in rows)
    last = ["Z", at(len(values)), {"samples": samples, "events": len(rows) - samples}]
    (folder / "ledger.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (header, *rows, last)))
    metrics: dict[str, Any] = {"t": {"south": "plc1", "node": "ns=2;s=T", "type": "Double"}}
    if states:
        words = {6: "run", 4: "idle"}
        metrics["state"] = {"south": "plc1", "node": "ns=2;s=STATE", "type": "String", "states": words}
    site = {
        "format": 1, "enterprise": "acme", "site": "hamburg", "area": "filling", "line": "line1",
        "south": {"plc1": {"endpoint": "opc.tcp://plc1:4840"}}, "north": {"e": {"broker": "mqtt://broker:1883"}},
        "cells": {"c": {"m": {"metrics": metrics}}},
        "alarms": {name: {"metric": "c.m/t", **body} for name, body in alarms.items()},
    }  # fmt: skip
    write_site(folder, site)
    return folder


def at(second: float) -> int:
    return START_NS + round(second * 1000) * 1_000_000
