"""A backlog comes signal by signal; alarms are judged in the order in which things happened all the same."""

from pathlib import Path

from shakedown.bridge.config import compile_all, load_site
from shakedown.bridge.core.model import Sample
from shakedown.bridge.operations import Operations
from tests.bridge.operations_rig import SITE

START_MS = 1_767_592_800_000


def test_a_state_that_comes_last_suppresses_what_happened_under_it(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)
    model, compiled = compile_all(load_site(tmp_path / "site.yaml"))
    ids = {metric.name: metric.metric_id for metric in model.metrics}

    def at(second: float, name: str, value: float | str) -> Sample:
        return Sample(ids[name], START_MS + int(second * 1000), value)

    operations = Operations(compiled, model)
    operations.take([at(0, "state", "run"), at(0, "temperature", 20.0)])
    cold = [at(20, "temperature", -5.0), at(60, "temperature", 20.0), at(120, "temperature", -5.0)]
    states = [at(10, "state", "idle"), at(90, "state", "run")]
    operations.take([*cold, *(at(second, "quiet", second) for second in range(100)), *states])
    said = [
        (sample.ts_ms - START_MS, sample.value)
        for sample in operations.outcome(0).samples
        if sample.metric_id == compiled.ids["cell.a", "alarm/cold"]
    ]
    assert said == [(10_000, "suppressed"), (90_000, "normal"), (120_000, "unacked")]
