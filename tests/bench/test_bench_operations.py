"""What alarms, OEE and contexts cost each value on the hot path, by how many engines look at its metric."""

from __future__ import annotations

from pathlib import Path

import pytest

from shakedown.bridge.config import compile_all, load_site
from shakedown.bridge.core.model import Sample
from shakedown.bridge.operations import Operations
from tests.bridge.operations_rig import SITE

COUNT = 10_000
START_MS = 1_767_592_800_000


@pytest.mark.bench
@pytest.mark.parametrize("name", ["quiet", "temperature", "total"])
def test_a_value_on_its_way(benchmark, name: str, tmp_path: Path) -> None:
    """`quiet` is watched by nobody, `temperature` by two alarms and a context, `total` by OEE."""
    (tmp_path / "site.yaml").write_text(SITE)
    model, compiled = compile_all(load_site(tmp_path / "site.yaml"))
    metric_id = next(m.metric_id for m in model.metrics if m.name == name)
    values = [Sample(metric_id, START_MS + n * 100, 20 + n) for n in range(COUNT)]
    if name == "temperature":
        values = [sample._replace(value=20.0 + sample.ts_ms % 7) for sample in values]

    def fresh() -> tuple[tuple[Operations, list[Sample]], dict]:
        return (Operations(compiled, model), values), {}

    def carry(operations: Operations, samples: list[Sample]) -> None:
        for at in range(0, COUNT, 50):
            operations.take(samples[at : at + 50])
            assert not operations.outcome(0).samples

    benchmark.pedantic(carry, setup=fresh, rounds=5)
    if benchmark.stats is not None:
        benchmark.extra_info["ns_per_value"] = benchmark.stats.stats.min / COUNT * 1e9
