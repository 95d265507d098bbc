"""A controller that shows nonsense (NaN, infinity, doubtful status): carried as what it is, and nobody crashes."""

import io
import json
import math

import pytest
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.parts import line
from shakedown.scenarios.parts.line import LinePart
from shakedown.scenarios.runner import Request, accept
from shakedown.twin.line.signals import signals_of

EVERY_SCANS = 3
VALUES = [(math.nan, 0), (math.inf, 0), (-math.inf, 0), (None, 0x80000000), (1e308, 0), (1.0, 0x40000000)]


class NonsenseLine(LinePart):
    """A line that offers hostile values now and then, in the ledger too: they were offered all the same."""

    scans = slipped = 0

    async def _publish(self, source_ts_ns, changes):
        self.scans += 1
        if self.scans % EVERY_SCANS == 0:
            signals = signals_of(self.setup.plant)
            own = {i for i, signal in enumerate(signals) if signal.data_type == "Double"}
            free = sorted(own - {index for index, _, _ in changes})
            turn = self.scans // EVERY_SCANS
            extra = [(index, *VALUES[(turn + n) % len(VALUES)]) for n, index in enumerate(free)]
            self.ledger.samples(source_ts_ns, extra)
            changes = [*changes, *extra]
            type(self).slipped += len(extra)
        await super()._publish(source_ts_ns, changes)


@pytest.mark.slow
def test_nonsense_is_carried_as_bad_and_the_bridge_is_not_blamed(tmp_path, monkeypatch):
    monkeypatch.setattr(line, "LinePart", NonsenseLine)
    monkeypatch.setattr(NonsenseLine, "slipped", 0)
    setup = model.shortened(model.set_up(model.find("wan_outage_fast")), 40)
    outcome = accept(Request(setup, tmp_path / "run"), Console(file=io.StringIO()))
    verdict = outcome.verdict
    assert NonsenseLine.slipped > 100
    assert verdict.harness == []
    assert [c.name for c in verdict.criteria if c.verdict == "FAIL"] == []
    counts = verdict.counts
    assert {counts[name] for name in ("lost", "late", "wrong", "unexpected", "duplicated")} == {0}
    rows = [json.loads(line) for line in (outcome.folder / "host.jsonl").read_text().splitlines()]
    refused = [row[6] for row in rows if row[0] == "H" and row[4] == "bridge/refused_values"]
    assert max(refused) > 10  # counted, and told to the enterprise
