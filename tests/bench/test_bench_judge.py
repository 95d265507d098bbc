"""Speed of the judge: whole runs from their folders, the decoder alone, and how it grows. Never asserts on time.

`extra_info` says what the times mean: `us_per_sample` is what one sample of the ledger costs, everything included.
"""

from __future__ import annotations

import importlib.util
import resource
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from shakedown.acceptance import judge
from shakedown.acceptance.sparkplug import decode
from shakedown.twin.enterprise import sparkplug as host_sparkplug
from tests.acceptance import operations_day

pytestmark = [pytest.mark.bench, pytest.mark.benchmark(timer=time.process_time)]

PLANT = Path(__file__).parents[1] / "acceptance" / "conftest.py"
SECONDS = {"75,000": 9_400, "250,000": 31_250}
METRICS = 50


@pytest.fixture(scope="session")
def lab() -> Any:
    """The generator of run folders of the judge's own tests."""
    spec = importlib.util.spec_from_file_location("judge_run_folders", PLANT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("samples", SECONDS)
def test_judge_a_run(benchmark: Any, lab: Any, tmp_path: Path, samples: str) -> None:
    folder = lab.healthy(SECONDS[samples]).write(tmp_path)
    verdict = benchmark.pedantic(judge, args=(folder,), rounds=3, iterations=1)
    assert verdict.verdict == "PASS"
    if not benchmark.disabled:
        offered = verdict.counts["offered"]
        benchmark.extra_info["us_per_sample"] = round(benchmark.stats["min"] / offered * 1e6, 2)
        benchmark.extra_info["rss_max_MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def test_judge_a_shift(benchmark: Any, tmp_path: Path) -> None:
    """Eight hours whose three sensors change ten times a second: 870,000 samples, all criteria of a shift."""
    day = operations_day.healthy()
    day.orders.clear()  # their context is that of the slower sensors
    for metric, values in day.signals.items():
        held, fast = 0.0, {}
        for tick in range(10 * day.seconds):
            held = values.get(tick // 10, held) if tick % 10 == 0 else held
            fast[tick / 10] = held + tick % 2 * 1e-6
        day.signals[metric] = fast
    folder = day.write(tmp_path)
    verdict = benchmark.pedantic(judge, args=(folder,), rounds=1, iterations=1)
    assert verdict.criterion("oee").verdict == verdict.criterion("nuisance").verdict == "PASS"
    if not benchmark.disabled:
        offered = verdict.counts["offered"]
        benchmark.extra_info["us_per_sample"] = round(benchmark.stats["min"] / offered * 1e6, 2)


def data_payload(lab: Any) -> bytes:
    topic = lab.TOPICS[0]
    samples = [lab.sample_of(topic, second) for second in range(METRICS)]
    return lab.encode(lab.Message(lab.START_NS, "DDATA", topic.device, samples), 0)


def test_decode_data(benchmark: Any, lab: Any) -> None:
    assert len(benchmark(decode, data_payload(lab)).metrics) == METRICS
    if not benchmark.disabled:
        benchmark.extra_info["us_per_metric"] = round(benchmark.stats["min"] / METRICS * 1e6, 3)


def test_decode_data_with_protobuf(benchmark: Any, lab: Any) -> None:
    """The same payload by the primary host, on protobuf's upb."""
    assert len(benchmark(host_sparkplug.decode, data_payload(lab)).metrics) == METRICS
