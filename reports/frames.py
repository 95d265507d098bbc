"""The data of a run as pandas DataFrames: what was offered joined with what arrived, alarms, work orders, shifts.

`Run("runs/wan-3").samples()`; docs/data.md has every column, its type and its unit. Times are datetime64[ns, UTC],
durations seconds, values those of site.yaml in its units. pandas is imported when the first frame is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shakedown.acceptance import run as runs
from shakedown.acceptance.attribution import Attribution
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.files import read_json
from shakedown.acceptance.join import NEVER, TopicJoin, join
from shakedown.acceptance.spans import MS, S

if TYPE_CHECKING:
    import pandas as pd

NOT_A_TIME = np.iinfo(np.int64).min  # NaT
OFFERED = ("ok", "late", "lost", "pending", "coalesced", "not judged")
"""What became of a sample that was offered."""
ARRIVED = ("duplicated", "wrong", "wrong_quality", "unexpected", "withdrawn", "invented")
"""What a row is that arrived and brought no sample."""

SAMPLES = {
    "device": "category", "metric": "category", "unit": "category", "time": "time", "value": "float64", "text": "str",
    "quality": "int16", "offered": "bool", "received": "time", "latency_s": "float64", "fate": "category",
    "historical": "boolean", "birth": "boolean",
}  # fmt: skip
ALARMS = {
    "device": "str", "alarm": "str", "priority": "str", "metric": "str", "occurrence": "Int64", "raised": "time",
    "told": "time", "acknowledged": "time", "cleared": "time", "hidden": "time", "label": "str", "fault": "str",
    "judged": "bool",
}  # fmt: skip
ORDERS = {
    "order": "str", "device": "str", "alarm": "str", "occurrence": "Int64", "equipment": "str",
    "physical_asset": "str", "state": "str", "raised": "time", "created": "time", "ended": "time",
    "elapsed_s": "float64", "raw_s": "float64",
}  # fmt: skip
SHIFT = {
    "line": "str",
    "shift_name": "str",
    "start": "time",
    "end": "time",
    "stops": "int64",
    "wrong_figures": "int64",
}


class NoData(Exception):
    """The folder holds no data of a run: says which, why, and what to give instead."""


@dataclass(frozen=True)
class Run:
    """The data of a finished run in `folder`. Where it holds several bridges, a column `bridge` tells them apart.

    Every method raises `NoData` when there is no complete run in the folder.
    """

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

    def samples(self) -> pd.DataFrame:
        """One row for each sample that was offered, and for each that arrived and was not; by topic and time."""
        return self._frame(SAMPLES, _samples)

    def alarms(self) -> pd.DataFrame:
        """One row for each annunciation that the enterprise heard, in order of time."""
        return self._frame(ALARMS, _alarms)

    def orders(self) -> pd.DataFrame:
        """One row for each work order that the CMMS holds, in order of creation."""
        return self._frame(ORDERS, _orders)

    def shifts(self) -> pd.DataFrame:
        """One row for each shift that ended and was judged: each figure as it was and as it was reported."""
        from shakedown.acceptance.oee.result import ShiftFigures

        figures = [f"{name}_{of}" for name in ShiftFigures.__struct_fields__ for of in ("true", "reported")]
        return self._frame(SHIFT | dict.fromkeys(figures, "float64"), _shifts)

    def frames(self) -> dict[str, pd.DataFrame]:
        """All four by name."""
        return {name: getattr(self, name)() for name in ("samples", "alarms", "orders", "shifts")}

    @cached_property
    def _evidence(self) -> list[tuple[str, Evidence]]:
        """Name and evidence of each bridge; the name is empty where there is one."""
        return [(bridge, _read(folder)) for bridge, folder in _run_folders(self.folder)]

    def _frame(self, columns: dict[str, str], rows: Any) -> pd.DataFrame:
        import pandas as pd

        frames = []
        for bridge, evidence in self._evidence:
            frame = _typed(rows(evidence), columns)
            if bridge:
                frame.insert(0, "bridge", bridge)
            frames.append(frame)
        if len(frames) == 1:
            return frames[0]
        joined = pd.concat(frames, ignore_index=True)
        categories = {name: "category" for name, dtype in columns.items() if dtype == "category"}
        return joined.astype(categories | {"bridge": "category"})


def _run_folders(folder: Path) -> list[tuple[str, Path]]:
    """The folder itself under no name, or those of its bridges under theirs. Raises NoData."""
    if (folder / "ledger.jsonl").is_file():
        return [("", folder)]
    runs = sorted(file.parent for file in folder.glob("*/manifest.json"))
    if not runs:
        raise NoData(
            f"{folder} is not a run folder: it has no ledger.jsonl. Give the folder that a run printed."
        )
    told = [(read_json(run / "manifest.json", []) or {}).get("run") or {} for run in runs]
    if not all("bridge" in one and one.get("bridges") == told[0].get("bridges") for one in told):
        raise NoData(f"{folder} holds several runs. Give one of them: {', '.join(map(str, runs))}.")
    return [(str(one["bridge"]), run) for one, run in zip(told, runs, strict=True)]


def _read(folder: Path) -> Evidence:
    """The run in a folder, joined. Raises NoData."""
    status = (read_json(folder / "manifest.json", []) or {}).get("status")
    if status != "complete":
        raise NoData(
            f"{folder} is not a complete run (manifest.json, status: {status!r}). Run its scenario to the end."
        )
    try:
        run = runs.load_run(folder)
    except runs.Unjudgeable as error:
        raise NoData(f"{folder}: {error}.") from None
    return Evidence(run, join(run), Attribution())


def _typed(rows: dict[str, Any], columns: dict[str, str]) -> pd.DataFrame:
    """Columns of plain values as a frame with the stated types."""
    import pandas as pd

    made = {}
    for name, dtype in columns.items():
        values = rows[name]
        if dtype == "time":
            made[name] = pd.to_datetime(np.asarray(values, dtype=np.int64).view("datetime64[ns]"), utc=True)
        else:
            made[name] = pd.Series(values, dtype="str" if dtype == "str" else dtype)
    return pd.DataFrame(made, columns=list(columns))


def _ns(values: Iterable[int | None], factor: int = 1) -> np.ndarray[Any, Any]:
    return np.array([NOT_A_TIME if value is None else value * factor for value in values], dtype=np.int64)


def _table(columns: dict[str, str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Rows of values in the order of `columns`, as columns; times are ns or None."""
    turned = dict(zip(columns, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(columns, ())
    return {
        name: _ns(turned[name]) if dtype == "time" else list(turned[name]) for name, dtype in columns.items()
    }


def _samples(evidence: Evidence) -> dict[str, Any]:
    import pandas as pd

    topics = evidence.joined.topics
    parts = [_offered_part(evidence, topic) for topic in topics]
    parts += [_stray_part(evidence, topic) for topic in topics]
    which = np.concatenate([np.full(len(part["time"]), i % len(topics)) for i, part in enumerate(parts)])
    columns = {name: [part[name] for part in parts] for name in parts[0]}
    texts = columns.pop("text")
    made: dict[str, Any] = {name: np.concatenate(found) for name, found in columns.items()}
    made["text"] = np.array([text for part in texts for text in part], dtype=object)
    order = np.lexsort((made["time"], which))
    made = {name: column[order] for name, column in made.items()}
    which = which[order]
    units = evidence.run.operations.units
    for name, of_topic in (
        ("device", [part.topic.device for part in topics]),
        ("metric", [part.topic.metric for part in topics]),
        ("unit", [units.get(part.topic.name, "") for part in topics]),
    ):
        labels = list(dict.fromkeys(of_topic))
        codes = np.array([labels.index(label) for label in of_topic])[which]
        made[name] = pd.Categorical.from_codes(codes, labels)
    fates = [*OFFERED, *ARRIVED]
    made["fate"] = pd.Categorical.from_codes(made["fate"], fates)
    for name in ("historical", "birth"):
        made[name] = pd.arrays.BooleanArray(made[name] == 1, made[name] < 0)
    return made


def _offered_part(evidence: Evidence, part: TopicJoin) -> dict[str, Any]:
    """Columns of the samples of one topic; what is not known of a row that never came is -1."""
    has_arrived = part.received_ns != NEVER
    fate = np.select(
        [
            np.full(len(part.ns), not part.identified),
            part.lost,
            part.late,
            part.pending,
            part.eligible,
            ~has_arrived & part.coalescable,
        ],
        [OFFERED.index(name) for name in ("not judged", "lost", "late", "pending", "ok", "coalesced")],
        OFFERED.index("not judged"),
    )
    received = np.where(has_arrived, part.received_ns, NOT_A_TIME)
    return {
        "time": part.ns,
        **_values(part.values),
        "quality": part.quality,
        "offered": np.ones(len(part.ns), np.bool_),
        "received": received,
        "latency_s": np.where(has_arrived, (part.received_ns - part.ns) / S, np.nan),
        "fate": fate,
        **_of_rows(evidence, np.array(part.row, dtype=np.int64)),
    }


def _stray_part(evidence: Evidence, part: TopicJoin) -> dict[str, Any]:
    """The same of the rows of the topic that brought no sample: with the time and the value that they claim."""
    host = evidence.run.host
    rows = np.array([row for row, _ in part.strays], dtype=np.int64)
    time = np.array([host.ts_ms[row] for row in rows], dtype=np.int64) * MS
    received = np.array([host.received_ns[row] for row in rows], dtype=np.int64)
    return {
        "time": time,
        **_values([host.values[row] for row in rows]),
        "quality": np.array([host.quality[row] for row in rows], dtype=np.int64),
        "offered": np.zeros(len(rows), np.bool_),
        "received": received,
        "latency_s": (received - time) / S,
        "fate": np.array([len(OFFERED) + ARRIVED.index(kind) for _, kind in part.strays], dtype=np.int64),
        **_of_rows(evidence, rows),
    }


def _values(values: Sequence[Any]) -> dict[str, Any]:
    """Numbers (true is 1) and texts apart, each with nothing where there is the other."""
    return {
        "value": np.array(
            [v if isinstance(v, (bool, int, float)) else np.nan for v in values], dtype=np.float64
        ),
        "text": [_plain(v) if isinstance(v, str) else None for v in values],
    }


def _plain(text: str) -> str:
    """A text that every format can hold: what is no character is written as its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _of_rows(evidence: Evidence, rows: np.ndarray[Any, Any]) -> dict[str, Any]:
    host = evidence.run.host
    live, birth = np.frombuffer(host.live, np.int8), np.frombuffer(host.birth, np.int8)
    is_there = rows >= 0
    historical, born = np.full(len(rows), -1, np.int8), np.full(len(rows), -1, np.int8)
    historical[is_there] = 1 - live[rows[is_there]]
    born[is_there] = birth[rows[is_there]]
    return {"historical": historical, "birth": born}


def _alarms(evidence: Evidence) -> dict[str, Any]:
    view = evidence.alarms
    return _table(
        ALARMS,
        [
            (
                entry.rule.device, entry.tag, entry.rule.priority, entry.rule.metric, entry.occurrence, entry.ns,
                entry.told_ns, entry.acked_ns, entry.cleared_ns, entry.hidden_ns, entry.label, entry.fault,
                view.from_ns <= entry.ns < view.to_ns,
            )
            for entry in view.all_entries
        ],
    )  # fmt: skip


def _orders(evidence: Evidence) -> dict[str, Any]:
    from shakedown.acceptance.criteria.work_orders import pairs_of

    orders = evidence.run.work_orders
    pairs = {pair.order.id: pair for pair in pairs_of(evidence)} if orders else {}
    rows = []
    for order in orders:
        pair = pairs.get(order.id)
        ended = order.ended_ms
        rows.append(
            (
                order.id, order.device, order.alarm, order.occurrence, order.equipment, order.physical_asset,
                order.history[-1][1] if order.history else None, order.raised_ms * MS, order.created_ms * MS,
                None if ended is None else ended * MS, pair.elapsed_s if pair else np.nan,
                pair.raw_s if pair else np.nan,
            )
        )  # fmt: skip
    return _table(ORDERS, rows)


def _shifts(evidence: Evidence) -> dict[str, Any]:
    from shakedown.acceptance.criteria import oee
    from shakedown.acceptance.oee.result import Figures, ShiftFigures

    names = ShiftFigures.__struct_fields__
    columns = SHIFT | {f"{name}_{of}": "float64" for name in names for of in ("true", "reported")}
    found = oee.judge(evidence).figures if evidence.run.operations.lines else None
    shifts = found.shifts if isinstance(found, Figures) else []
    rows = [
        (
            shift.line, shift.shift, shift.from_ms * MS, shift.to_ms * MS, shift.stops, len(shift.breaches),
            *(
                np.nan if figures is None or (value := getattr(figures, name)) is None else value
                for name in names
                for figures in (shift.truth, shift.reported)
            ),
        )
        for shift in shifts
    ]  # fmt: skip
    return _table(columns, rows)
