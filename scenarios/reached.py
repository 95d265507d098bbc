"""What the default suite really reaches: values, statuses, states of a session and of alarms (docs/reached.md).

`python -m shakedown.scenarios.reached` runs the suite and writes the page. What no scenario reaches, no judge sees.
"""

from __future__ import annotations

import base64
import json
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from shakedown.bridge.core.alarm_states import State
from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept
from shakedown.scenarios.suites import DEFAULT, SUITES
from shakedown.twin.line.upsets.extremes import STATUS, values

PAGE = Path("docs/reached.md")
TYPES = ("Boolean", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double", "String")
NS_PER_MS = 1_000_000
REPLAY_NS = 10 * 10**9  # history this shortly before a cut and after it is one replay that was cut
MESSAGES = ("NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH", "NCMD", "DCMD")
STRUCK = (
    "blackhole wan", "stall wan", "down wan", "down cell", "crash scada", "restart scada", "crash broker",
    "restart bridge", "rebirth_request bridge", "foreign_state scada", "alarm_command bridge",
)  # fmt: skip
GROUPS: dict[str, tuple[str, ...]] = {
    "Values": (
        *(f"{kind}: {name}" for kind in TYPES for name in values(kind)),
        "null, called Good", "of less than a millisecond apart", "one value with two statuses in one millisecond",
    ),
    "Statuses": ("Good", *STATUS, "three tags or more with a status that is not Good, in one scan"),
    "Session": (
        *MESSAGES, "history", "history cut while it was replayed", "STATE of the primary host: online",
        "STATE of the primary host: offline", "STATE of another host: offline", *STRUCK,
    ),
    "Alarms": (*(state.value for state in State), "acknowledged", "a dozen rejects and more"),
}  # fmt: skip
"""What there is to reach, by the heading of its table."""

HEAD = """# What the default suite reaches

Written by `make docs`, from a run of the suite with seed 0; not by hand. How often each value, status, state of a
session and state of an alarm occurs in each scenario. A line that no scenario reaches fails a test: what no scenario
reaches, no judge sees.
"""


def reached(folder: Path) -> Counter[str]:
    """How often a run reached what; whatever is not in GROUPS is left out."""
    found: Counter[str] = Counter()
    _line(folder, found)
    _enterprise(folder, found)
    _wire(folder, found)
    known = {name for names in GROUPS.values() for name in names}
    return Counter({name: count for name, count in found.items() if name in known})


def _lines(file: Path) -> Iterator[Any]:
    with file.open("rb") as lines:
        for line in lines:
            yield json.loads(line)


def _line(folder: Path, found: Counter[str]) -> None:
    """What the line offered."""
    rows = _lines(folder / "ledger.jsonl")
    types = [signal["data_type"] for signal in next(rows)["signals"]]
    limits = {
        kind: {_key(value): f"{kind}: {name}" for name, value in values(kind).items()} for kind in TYPES
    }
    names = {code: name for name, code in STATUS.items()} | {0: "Good"}
    before: dict[int, tuple[int, Any, int]] = {}
    doubtful: Counter[int] = Counter()
    rejects = 0
    for row in rows:
        if row[0] == "P" and row[2] == "part" and not row[4]["good"]:
            rejects += 1
        if row[0] != "S":
            continue
        _, ns, signal, value, status = row
        found[names.get(status, "")] += 1
        doubtful[ns] += status != 0
        if value is None:
            found["null, called Good"] += status == 0
        else:
            found[limits[types[signal]].get(_key(value), "")] += 1
        then = before.get(signal)
        if then is not None and ns // NS_PER_MS == then[0] // NS_PER_MS:
            found["of less than a millisecond apart"] += 1
            found["one value with two statuses in one millisecond"] += then[1] == value and then[2] != status
        before[signal] = ns, value, status
    found["three tags or more with a status that is not Good, in one scan"] = sum(
        n >= 3 for n in doubtful.values()
    )
    found["a dozen rejects and more"] = rejects // 12


def _key(value: Any) -> Any:
    """The same for the same value: NaN equals itself, and True is not 1."""
    return type(value).__name__, "NaN" if isinstance(value, float) and math.isnan(value) else value


def _enterprise(folder: Path, found: Counter[str]) -> None:
    """What the primary host wrote down, and what was done."""
    history: list[int] = []
    for row in _lines(folder / "host.jsonl"):
        if row[0] != "H":
            continue
        if row[8]:
            history.append(row[1])
        if row[4].startswith("alarm/") and row[4].count("/") == 1 and row[9] == "data":
            found[str(row[6])] += 1
    found["history"] = len(history)
    for row in _lines(folder / "timeline.jsonl"):
        if row["kind"] == "phase":
            continue
        found[f"{row['kind']} {row['target']}"] += 1
        start_ns, end_ns = row["start_ns"], row["end_ns"]
        if row["cut"] and any(start_ns - REPLAY_NS < ns < start_ns for ns in history):
            found["history cut while it was replayed"] += any(
                end_ns < ns < end_ns + REPLAY_NS for ns in history
            )
    if (folder / "people.jsonl").is_file():
        found["acknowledged"] = sum(
            row[0] == "K" and row[2] == "ack" for row in _lines(folder / "people.jsonl")
        )


def _wire(folder: Path, found: Counter[str]) -> None:
    """What passed at the broker."""
    site = (folder / "site.yaml").read_text(encoding="utf-8")
    for row in _lines(folder / "broker.jsonl"):
        if row[0] != "A":
            continue
        levels = row[3].split("/")
        if levels[0] != "spBv1.0":
            continue
        if levels[1] != "STATE":
            found[levels[2]] += 1
        elif payload := base64.b64decode(row[4]):
            whose = "the primary host" if f"primary_host: {levels[2]}" in site else "another host"
            online = json.loads(payload).get("online") is True
            found[f"STATE of {whose}: {'online' if online else 'offline'}"] += 1


def page(counts: Mapping[str, Counter[str]]) -> str:
    """The page, from what each scenario reached."""
    lines = [HEAD]
    for group, names in GROUPS.items():
        lines += [f"## {group}", "", f"| | {' | '.join(counts)} |", "|---" * (1 + len(counts)) + "|"]
        for name in names:
            lines.append(f"| {name} | {' | '.join(f'{found[name]:,}' for found in counts.values())} |")
        lines.append("")
    return "\n".join(lines)


def main(folders: list[str]) -> None:
    """Write the page from run folders, or from runs of the default suite."""
    if folders:
        counts = {Path(folder).name: reached(Path(folder)) for folder in folders}
    else:
        with tempfile.TemporaryDirectory() as scratch:
            counts = {}
            for name in SUITES[DEFAULT]:
                request = Request(model.set_up(model.find(name)), Path(scratch) / name)
                counts[name] = reached(accept(request, Console(stderr=True)).folder)
    PAGE.write_text(page(counts), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
