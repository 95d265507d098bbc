"""The data of a run as DataFrames: what the judge counts is what the frames hold, and every column is documented."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from shakedown.reports.frames import NoData, Run
from tests.acceptance.judged import judged_by

DOCS = Path(__file__).parents[2] / "docs" / "data.md"


def broken(plan):
    """Every fate that a row can have."""
    plan.drop(lambda sample: sample.ts_ms % 7000 == 0 and sample.metric == "count")
    victims = [s for s in plan.samples("bowl_temperature", live=True) if s.quality == 192][300:600:50]
    for sample in victims[:2]:
        sample.value += 3.0
    victims[2].ts_ms += 7
    victims[3].quality = 0
    again = plan.data[300]
    again.samples = [*again.samples, again.samples[0], again.samples[0]]
    plan.dedupe = False
    return plan


def counted(folder: Path) -> dict[str, int]:
    return judged_by({"loss", "integrity"}, folder).counts


def test_what_the_judge_counts_is_in_the_samples(plan, tmp_path):
    folder = broken(plan).write(tmp_path / "run")
    counts, samples = counted(folder), Run(folder).samples()
    fates = samples.fate.value_counts()
    assert counts["lost"] > 10
    assert samples.offered.sum() == counts["offered"]
    for fate in ("ok", "lost", "late", "unexpected", "invented", "duplicated"):
        assert fates[fate] == counts[fate], fate
    assert fates["wrong"] + fates["wrong_quality"] == counts["wrong"] > 0
    assert min(counts["unexpected"], counts["duplicated"], fates["invented"]) > 0
    assert fates.sum() == len(samples)


def test_each_sample_has_its_times_and_its_value(plan, lab, tmp_path):
    samples = Run(plan.write(tmp_path / "run")).samples()
    for _, topic in samples[samples.offered].groupby(["device", "metric"], observed=True):
        assert topic.time.is_monotonic_increasing
    arrived = samples[samples.received.notna()]
    assert (arrived.latency_s == (arrived.received - arrived.time).dt.total_seconds()).all()
    held_up = arrived[arrived.historical]
    assert held_up.latency_s.max() > 60
    assert set(held_up.time.dt.floor("s")) <= {pd.Timestamp(lab.at(s), tz="UTC") for s in range(90, 300)}
    missing = samples[samples.received.isna()]
    assert missing.latency_s.isna().all()
    assert missing.historical.isna().all()
    states = samples[samples.metric == "state"]
    assert states.value.isna().all()
    assert set(states.text) <= {"run", "idle", "fault", "changeover"}
    assert samples[samples.metric == "pressure"].unit.unique().tolist() == ["BAR"]


def test_a_run_without_operations_has_empty_frames_of_the_same_columns(plan, day, tmp_path):
    bare, shift = Run(plan.write(tmp_path / "bare")), Run(day.write(tmp_path / "shift"))
    for name in ("alarms", "orders", "shifts"):
        empty, full = getattr(bare, name)(), getattr(shift, name)()
        assert len(empty) == 0
        assert len(full) > 0
        assert (empty.dtypes == full.dtypes).all()


def test_alarms_orders_and_shifts_are_those_that_happened(day, tmp_path):
    day.reports[0]["produced"] += 7
    run = Run(day.write(tmp_path / "shift"))
    alarms, orders, shifts = run.alarms(), run.orders(), run.shifts()
    assert len(alarms) == len(day.calls)
    assert alarms.raised.is_monotonic_increasing
    assert orders.order.tolist() == [
        order["id"] for order in sorted(day.orders, key=lambda o: o["created_ms"])
    ]
    assert orders.elapsed_s.between(0, 180).all()
    assert shifts.shift_name.tolist() == ["early", "late"]
    assert (shifts.produced_reported - shifts.produced_true).tolist() == [7, 0]
    assert shifts.wrong_figures.gt(0).tolist() == [True, False]


def test_every_column_is_documented_with_its_type(day, tmp_path):
    frames = Run(day.write(tmp_path / "shift")).frames()
    text = DOCS.read_text()
    for name, frame in frames.items():
        section = text.split(f"## `{name}()`")[1].split("\n## ")[0].split("| fate |")[0]
        told = dict(re.findall(r"^\| `([a-z_]+)` \| ([^|]+?) \|", section, re.MULTILINE))
        own = {c: str(d) for c, d in frame.dtypes.items() if not c.endswith(("_true", "_reported"))}
        assert told == {c: "time" if d.startswith("datetime64[ns") else d for c, d in own.items()}, name
    figures = {column for column in frames["shifts"] if column.endswith(("_true", "_reported"))}
    told = set(re.findall(r"^- `([a-z_]+)`", text.split("## `shifts()`")[1], re.MULTILINE))
    assert figures == {f"{figure}_{of}" for figure in told for of in ("true", "reported")}


def test_several_bridges_are_told_apart_by_a_column(plan, tmp_path):
    bridges = {name: {"folder": f"lines.{name}", "edge": ""} for name in ("line1", "line2")}
    for name in bridges:
        plan.manifest["run"] = {"bridge": name, "bridges": bridges}
        plan.write(tmp_path / f"lines.{name}")
    (tmp_path / "suite.json").write_text("{}")
    samples = Run(tmp_path).samples()
    assert samples.bridge.value_counts().to_dict() == dict.fromkeys(("line1", "line2"), len(samples) // 2)
    assert samples.dtypes["fate"] == "category"


def test_what_is_no_finished_run_is_refused(plan, tmp_path):
    with pytest.raises(NoData, match="not a run folder"):
        Run(tmp_path).samples()
    run = plan.write(tmp_path / "run")
    (tmp_path / "suite.json").write_text("{}")
    with pytest.raises(NoData, match=r"Give one of them: .*/run"):
        Run(tmp_path).samples()
    (run / "manifest.json").write_text(json.dumps({"status": "running"}))
    with pytest.raises(NoData, match="not a complete run"):
        Run(run).samples()
    (run / "manifest.json").write_text(json.dumps({"status": "complete"}))
    (run / "site.yaml").unlink()
    with pytest.raises(NoData, match=r"site\.yaml is missing"):
        Run(run).samples()
