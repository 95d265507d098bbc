"""A small line for tests: a filler and a packer with a sensor of every kind, and a recorder of all that it shows."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import simpy

from shakedown.twin.ledger import Change, Ledger
from shakedown.twin.line import Line, Plant

NS_PER_S, NS_PER_MS = 1_000_000_000, 1_000_000


def document(**changes: Any) -> dict[str, Any]:
    """The plant as data, with keys set otherwise."""

    def mode(code: int, **more: Any) -> dict[str, Any]:
        return {"cause": "broken", "code": code, "mtbf": {"mean_s": 1e7}, "mttr": {"mean_s": 40}, **more}

    temperature = {"base": 50, "gains": {"filler.run": 4}, "tau_s": 20, "noise": 0.5, "resolution": 0.01}
    vibration = {
        "base": 1,
        "gains": {"filler.speed": 2, "filler.wear": 6},
        "noise": 0.05,
        "resolution": 0.001,
    }
    plant: dict[str, Any] = {
        "plant": "small",
        "products": {"a": {"label": "A", "volume_l": 0.5}, "b": {"label": "B", "volume_l": 1.0}},
        "orders": [{"product": "a", "quantity": 1_000_000}],
        "machines": {
            "filler": {
                "cycle": {"mean_s": 0.5},
                "failures": {
                    "jam": mode(200, alarms=["filler_fault"]),
                    "wear": mode(201, develops={"mean_s": 60}, alarms=["vibration_high"], maintenance=True),
                    "trip": mode(202, critical=True),
                },
            },
            "packer": {"cycle": {"mean_s": 1.8}, "batch": 4},
        },
        "conveyors": {"belt": {"capacity": 8, "transit_s": 2}},
        "signals": {
            "filler": {
                "state": {"tag": "F.STATE", "type": "Int32", "show": "state"},
                "total": {"tag": "F.TOTAL", "type": "UInt32", "show": "total"},
                "small_total": {"tag": "F.SMALL", "type": "UInt16", "show": "total"},
                "full": {"tag": "F.FULL", "type": "Boolean", "show": "blocked"},
                "temperature": {"tag": "F.T", "type": "Double", "range": [0, 100], "response": temperature},
                "vibration": {"tag": "F.V", "type": "Float", "range": [0, 20], "response": vibration},
            },
            "packer": {
                "heartbeat": {"tag": "P.HB", "type": "UInt32", "show": "heartbeat"},
                "pressure": {
                    "tag": "P.P",
                    "type": "Int16",
                    "range": [0, 500],
                    "response": {"base": 200, "noise": 5, "resolution": 1},
                },
            },
        },
    }
    return {**plant, **changes}


class Recording:
    """A plant run for so many seconds: values and statuses by signal at every scan, and the ledger's events.

    `at` maps seconds to what is done to the line then, as somebody outside of the model would.
    """

    def __init__(
        self,
        folder: Path,
        plant: dict[str, Any],
        seconds: int,
        *,
        seed: int = 1,
        at: dict[float, Callable[[Line], None]] | None = None,
    ) -> None:
        self.plant = Plant.model_validate(plant)
        names = list(self.plant.each_signal_named())
        self.values: dict[str, list[Any]] = defaultdict(list)
        self.statuses: dict[str, list[int]] = defaultdict(list)
        self.offered: dict[str, list[bool]] = defaultdict(list)
        now: dict[str, tuple[Any, int]] = {}

        self.besides: list[tuple[int, str, Any, int]] = []  # offered within a scan, after its first offers

        def on_scan(ns: int, changes: list[Change]) -> None:
            if ns % NS_PER_MS:
                self.besides += [(ns, names[index], value, status) for index, value, status in changes]
                return
            changed = {names[index]: (value, status) for index, value, status in changes}
            now.update(changed)
            for name in names:
                value, status = now.get(name, (None, 0))
                self.values[name].append(value)
                self.statuses[name].append(status)
                self.offered[name].append(name in changed)

        folder.mkdir(exist_ok=True)
        path = folder / f"{len(list(folder.iterdir()))}.jsonl"
        env = simpy.Environment()
        with Ledger(path, start_ns=0) as ledger:
            self.line = Line(self.plant, env, seed, ledger)
            self.line.on_scan = on_scan
            self.line.start()
            for moment_s, act in sorted((at or {}).items()):
                env.run(until=round(moment_s * 1_000))
                act(self.line)
            env.run(until=seconds * 1_000 + 1)
        header, *rows = [json.loads(text) for text in path.read_text().splitlines()]
        self.header = header
        self.events: list[tuple[float, str, str, dict[str, Any]]] = [
            (row[1] / NS_PER_S, row[2], row[3], row[4]) for row in rows if row[0] == "P"
        ]

    def of(self, kind: str) -> list[tuple[float, str, dict[str, Any]]]:
        """Seconds, machine and data of the events of one kind."""
        return [(moment, machine, data) for moment, found, machine, data in self.events if found == kind]
