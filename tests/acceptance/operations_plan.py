"""The line, its site and its rules, of which `operations_day` makes a day: constants, ledger header, `site.yaml`."""

from __future__ import annotations

from typing import Any

S, MS = 1_000_000_000, 1_000_000
START_NS = 1_767_592_800 * S
SECONDS = 28_800
EDGE = "hamburg.filling/line1"
PACKER, FILLER = "packer.packer_1", "filler.filler_1"
NODES = {
    (PACKER, "state"): ("P.ST", "packer", "Int32"),
    (PACKER, "total"): ("P.TOT", "packer", "UInt32"),
    (PACKER, "good"): ("P.GOOD", "packer", "UInt32"),
    (PACKER, "reject"): ("P.REJ", "packer", "UInt32"),
    (PACKER, "reworked"): ("P.REW", "packer", "UInt32"),
    (FILLER, "temperature"): ("F.TT", "filler", "Double"),
    (FILLER, "pressure"): ("F.PT", "filler", "Double"),
    (FILLER, "level"): ("F.LT", "filler", "Double"),
}
INDEX = {key: index for index, key in enumerate(NODES)}
STATES = {6: "run", 4: "idle", 9: "fault", 101: "changeover"}
NUMBERS = {name: number for number, name in STATES.items()}
QUIET = {"temperature": 8.0, "pressure": 3.0, "level": 50.0}
BEYOND = {"temperature": 14.5, "pressure": 1.25, "level": 12.0}
ALARMS: dict[str, tuple[str, str, float, bool]] = {  # metric, kind, limit, work order
    "temperature_high": ("temperature", "high", 12.0, True),
    "pressure_low": ("pressure", "low", 2.0, False),
    "level_low": ("level", "low", 20.0, False),
}
ON_DELAY_S, OFF_DELAY_S, ACK_S, ORDER_S, CONTEXT_S = 5, 10, 30, 12, 300
FOLLOW_MS = 4_000
FAULTS = 16
IDEAL_S = {"A": 8.0, "B": 10.0}
SWAP_S = 14_000
Span = tuple[int, int]


MADE_FROM = {
    "state": "state", "produced": "total", "good": "good", "reject": "reject", "rework": "reworked"
}  # fmt: skip
FORMULAS = (
    "availability", "effectiveness", "quality", "oee", "nee", "fpy", "mttr_s", "mtbf_s", "changeover_s_mean",
    "unplanned_downtime_s",
)  # fmt: skip


def lineage() -> dict[str, Any]:
    """What the reports of the line are made from."""
    nodes = {name: NODES[PACKER, metric][0] for name, metric in MADE_FROM.items()}
    return {
        "metrics": {name: f"{PACKER}/{metric}" for name, metric in MADE_FROM.items()},
        "tags": {name: f"plc1 ns=2;s={node}" for name, node in nodes.items()},
        "ideal_s": {},
        "formulas": dict.fromkeys(FORMULAS, "as ISO 22400-2 has it"),
    }


def at(second: float) -> int:
    """Nanoseconds since the epoch of a second of the run."""
    return START_NS + round(second * 1000) * MS


def header() -> dict[str, Any]:
    signals = [
        {"tag": node, "node_id": f"ns=2;s={node}", "machine": machine, "data_type": kind, "unit": "",
         "eu_low": 0, "eu_high": 100, "scan_ms": 1000}
        for node, machine, kind in NODES.values()
    ]  # fmt: skip
    return {
        "kind": "header", "format": 1, "plant": "test", "seed": 7, "start_ns": START_NS, "signals": signals,
        "ideal_s": {product: {"packer": seconds, "filler": 1.0} for product, seconds in IDEAL_S.items()},
        "assets": [["HAM-F", "SN-1", START_NS, at(SWAP_S)], ["HAM-F", "SN-2", at(SWAP_S), None]],
        "bottleneck": "packer",
    }  # fmt: skip


def site() -> dict[str, Any]:
    cells: dict[str, Any] = {"packer": {"packer_1": {"metrics": {}}}, "filler": {"filler_1": {"metrics": {}}}}
    for (device, metric), (node, _, vendor_type) in NODES.items():
        cell, asset = device.split(".")
        entry: dict[str, Any] = {
            "south": "plc1",
            "node": f"ns=2;s={node}",
            "type": vendor_type,
            "class": "process",
        }
        if metric == "state":
            entry |= {"type": "String", "class": "state", "states": STATES}
        cells[cell][asset]["metrics"][metric] = entry
    alarms = {
        name: {
            "metric": f"{FILLER}/{metric}", kind: limit, "priority": "high", "on_delay_s": ON_DELAY_S,
            "off_delay_s": OFF_DELAY_S, "work_order": order, "text": f"Look at {metric}",
            "context": [f"{FILLER}/pressure"],
        }
        for name, (metric, kind, limit, order) in ALARMS.items()
    }  # fmt: skip
    return {
        "format": 1, "enterprise": "acme", "site": "hamburg", "area": "filling", "line": "line1",
        "south": {"plc1": {"endpoint": "opc.tcp://plc1:4840", "sampling_interval_ms": 100}},
        "north": {"enterprise": {"broker": "mqtt://broker:1883", "primary_host": "scada"}},
        "cells": cells, "alarms": alarms,
        "oee": {"line1": {name: f"{PACKER}/{metric}" for name, metric in MADE_FROM.items()}},
        "cmms": {"url": "http://cmms:8080", "adapter": "embedded", "context_s": CONTEXT_S},
        "equipment": {FILLER: {"equipment": "HAM-F", "owner": "mechanics"}},
    }  # fmt: skip
