"""Random scenarios: every kind of fault on every target, overlapping, too short to be noticed or twice in a row.

What is drawn lies within what the contract says can be survived: the OPC UA queue covers every gap on `cell` and every
death of the bridge, and the drain is long enough for the backlog. So whatever comes out, the healthy bridge must lose
nothing, and nobody else may be blamed.

    python tests/properties/outages.py 17        # prints scenario 17 as YAML
    python tests/properties/outages.py 17 flapping
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import yaml

FIRST_S, CALM_S = 6.0, 12.0  # no fault before, none so shortly before the end
FAULT_MIN_S = 2.6  # the probe needs a period to settle and one to see something
SLOW_MIN_S = 7.0  # and on a slow line to connect and to be answered
SIGNALS = 68
CHANGES_PER_SCAN = 50  # of these, about
SAMPLES_MAX = 45_000  # keeps a scenario at a few seconds of computing


def scenario(seed: int) -> dict[str, Any]:
    """Scenario file number `seed`, as data."""
    rng = np.random.Generator(np.random.PCG64([seed, 0x0E7A6E]))
    scan_ms = _one_of(rng, (50, 100, 200, 250, 500, 1000, 2000))
    duration_s = float(min(150, max(45, SAMPLES_MAX * scan_ms // 1000 // SIGNALS)))
    targets = {"wan": _wan, "cell": _cell, "host": _host, "broker": _broker, "bridge": _bridge}
    struck = [name for name in targets if rng.random() < (0.85 if name == "wan" else 0.45)] or ["wan"]
    faults = [
        {"id": f"{name}_{number}", **fault}
        for name in struck
        for number, fault in enumerate(_sequence(rng, targets[name], duration_s))
    ]
    faults += _rebirths(rng, faults, duration_s)
    site = _site(rng, scan_ms, duration_s)
    north = site["north"]["enterprise"]
    patience_s = (
        1.5 * max(north["keep_alive_s"], north["host_keep_alive_s"]) + 2 * north["reconnect_s"]["max"]
    )
    backlog_s = 2 * SIGNALS * duration_s * 1000 / scan_ms / north["replay_per_s"]
    return {
        "name": f"random_{seed}",
        "title": f"Random outages, number {seed}",
        "warm_up_s": FIRST_S - 1,
        "duration_s": duration_s,
        "drain_s": round(30 + patience_s + backlog_s),
        "may_be_inconclusive": ["freshness"],
        "network": {
            "cell": {"latency_ms": _one_of(rng, (0, 0.5, 30))},
            "wan": {"latency_ms": _one_of(rng, (0, 5, 20, 300)), "jitter_ms": _one_of(rng, (0, 5, 40))},
        },
        "override": {"plant": {"scan_ms": scan_ms, "dropouts": _dropouts(rng, duration_s)}, "site": site},
        "faults": sorted(faults, key=lambda fault: fault["at_s"]),
    }


def flapping(seed: int, *, fits: bool = True) -> dict[str, Any]:
    """Scenario file number `seed` of a WAN that is never up for as long as the retention.

    The broker keeps its memory and nobody dies. The journal holds what an outage keeps back two and a half times, and
    much less than the retention; history may go half as fast again as it has to, which is slower than the line. Unless
    it `fits`: then outages are longer than the journal.
    """
    rng = np.random.Generator(np.random.PCG64([seed, 0xF1A9]))
    duration_s = 150.0
    scan_ms = _one_of(rng, (500, 1000)) if fits else 500
    kinds = _one_of(rng, (("down",), ("down", "blackhole", "stall")))
    up_s, down_s = _one_of(rng, (12, 22, 35)), _one_of(rng, (0.5, 2, 6) if fits else (12, 20))
    keep_alive_s, reconnect_max_s = _one_of(rng, (2, 3)), _one_of(rng, (0.5, 2))
    away_s = FAULT_MIN_S + down_s + 1.5 * reconnect_max_s + (2 * keep_alive_s if len(kinds) > 1 else 0)
    per_s = CHANGES_PER_SCAN * 1000 / scan_ms
    north = {
        "keep_alive_s": keep_alive_s,
        "host_keep_alive_s": 10,
        "reconnect_s": {"min": 0.5, "max": reconnect_max_s},
        "retention_margin_s": 55,
        "replay_per_s": round(1.5 * per_s * (away_s + 2) / (0.7 * up_s)),
    }
    at_s, faults = FIRST_S, []
    while at_s < duration_s - CALM_S:
        for_s = round(FAULT_MIN_S + rng.uniform(0, down_s), 2)
        fault = {"kind": _one_of(rng, kinds), "target": "wan", "at_s": at_s, "for_s": for_s}
        faults.append({"id": f"wan_{len(faults)}", **fault})
        at_s = round(at_s + for_s + up_s * rng.uniform(0.7, 1.3), 2)
    rows_max = max(1000, round(2.5 * per_s * (away_s + 2)) if fits else 0)
    site = {"north": {"enterprise": north}, "journal": {"rows_max": rows_max}}
    return {
        "name": f"flapping_{seed}",
        "title": f"A flapping link, number {seed}",
        "warm_up_s": FIRST_S - 1,
        "duration_s": duration_s,
        "drain_s": 75,
        "may_be_inconclusive": ["freshness", "loss"],
        "override": {"plant": {"scan_ms": scan_ms, "dropouts": []}, "site": site},
        "faults": faults,
    }


def _site(rng: np.random.Generator, scan_ms: int, duration_s: float) -> dict[str, Any]:
    reconnect_min_s = _one_of(rng, (0.1, 0.5, 1.0))
    reconnect = {"min": reconnect_min_s, "max": reconnect_min_s * _one_of(rng, (1, 4, 15))}
    sampling_ms = [ms for ms in (0, 10, 50, 100, 500) if ms <= scan_ms]
    south = {
        "publishing_interval_ms": _one_of(rng, (50, 200, 500, 1000, 2500)),
        "sampling_interval_ms": _one_of(rng, sampling_ms),
        "queue_size": int(duration_s * 1000 / scan_ms) + 10,  # covers every gap that can be drawn
        "session_timeout_s": _one_of(rng, (8.0, 30.0, 120.0)),
    }
    north = {
        "keep_alive_s": _one_of(rng, (2, 3, 5, 10, 30, 60)),
        "host_keep_alive_s": _one_of(rng, (2, 3, 5, 10, 30)),
        "reconnect_s": reconnect,
        "barrier_s": _one_of(rng, (0.2, 1.0, 3.0)),
        "retention_margin_s": _one_of(rng, (1, 3, 10)),
        "replay_per_s": _one_of(rng, (1500, 5000, 20_000)),
    }
    classes = {"heartbeat": 5}  # what is published every 2.5 s cannot be fresh within one
    return {"south": {"plc1": south}, "north": {"enterprise": north}, "classes": classes}


def _sequence(rng: np.random.Generator, draw: Any, duration_s: float) -> list[dict[str, Any]]:
    """Faults of one target, one after the other: single, twice in a row, or flapping."""
    at_s, found = FIRST_S + rng.uniform(0, duration_s / 3), []
    pause_s = _one_of(rng, (0.3, 2, 6, 20))
    length_s = _one_of(rng, (0, 4, 12, 30))
    for _ in range(int(rng.integers(1, 6))):
        fault = draw(rng)
        if fault["kind"] == "slow" and found and found[-1]["kind"] == "stall":
            break  # TCP's back-off would hide it from the probe
        for_s = (SLOW_MIN_S if fault["kind"] == "slow" else FAULT_MIN_S) + rng.uniform(0, length_s)
        if at_s + for_s > duration_s - CALM_S:
            break
        found.append({**fault, "at_s": round(at_s, 2), "for_s": round(for_s, 2)})
        at_s += for_s + 0.1 + rng.uniform(0, pause_s)
    return found


def _conduit(rng: np.random.Generator, target: str) -> dict[str, Any]:
    kind = _one_of(rng, ("blackhole", "stall", "down", "slow"))
    fault: dict[str, Any] = {"kind": kind, "target": target}
    if kind != "down":
        fault["direction"] = _one_of(rng, ("up", "down", "both"))
    if kind == "slow":
        fault["latency_ms"] = _one_of(
            rng, (400, 800)
        )  # well above the line's own jitter, to be seen by the probe
        fault["bandwidth_kB_s"] = _one_of(rng, (None, 40, 400))
    return fault


def _wan(rng: np.random.Generator) -> dict[str, Any]:
    return _conduit(rng, "wan")


def _cell(rng: np.random.Generator) -> dict[str, Any]:
    return _conduit(rng, "cell")


def _host(rng: np.random.Generator) -> dict[str, Any]:
    return {"kind": "crash", "target": "scada"}


def _broker(rng: np.random.Generator) -> dict[str, Any]:
    return {"kind": "crash", "target": "broker"}


def _bridge(rng: np.random.Generator) -> dict[str, Any]:
    return {"kind": "crash", "target": "bridge"}


def _rebirths(
    rng: np.random.Generator, faults: list[dict[str, Any]], duration_s: float
) -> list[dict[str, Any]]:
    """Rebirth commands at any moment at which the host can send one."""
    deaf = [
        (fault["at_s"] - 1, fault["at_s"] + fault["for_s"] + 8)
        for fault in faults
        if fault["target"] in ("scada", "broker")
    ]
    found: list[dict[str, Any]] = []
    moments = sorted(rng.uniform(FIRST_S, duration_s - CALM_S, int(rng.integers(0, 5))).round(2).tolist())
    for at_s in moments:
        last_s = found[-1]["at_s"] + found[-1]["for_s"] if found else 0.0
        if at_s > last_s and not any(start <= at_s <= end for start, end in deaf):
            what = {"id": f"rebirth_{len(found)}", "kind": "rebirth_request", "target": "bridge"}
            found.append(what | {"at_s": at_s, "for_s": 0.5})
    return found


def _dropouts(rng: np.random.Generator, duration_s: float) -> list[dict[str, Any]]:
    signals = ["filler.motor_current", "labeller.motor_current", "packer.power", "conveyor_1.belt_speed"]
    if rng.random() < 0.5:
        return []
    at_s = round(rng.uniform(2, duration_s / 2), 1)
    status = _one_of(rng, ("BadSensorFailure", "BadNotConnected", "BadOutOfService"))
    chosen = signals[: int(rng.integers(1, len(signals) + 1))]
    return [{"signals": chosen, "at_s": at_s, "lasts_s": round(rng.uniform(1, 30), 1), "status": status}]


def _one_of(rng: np.random.Generator, choices: tuple[Any, ...] | list[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


if __name__ == "__main__":
    draw = flapping if sys.argv[2:] == ["flapping"] else scenario
    print(yaml.safe_dump(draw(int(sys.argv[1])), sort_keys=False, width=120))
