"""The healthy bridge loses nothing in `wan_outage --strict`, whatever the seed (`make seeds` takes 200 of them)."""

import io

from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept


def test_not_one_sample_is_lost_wrong_or_duplicated(tmp_path, outage_seed):
    setup = model.set_up(model.find("wan_outage"))
    request = Request(setup, tmp_path / "run", seed=outage_seed, strict=True)
    verdict = accept(request, Console(file=io.StringIO())).verdict
    assert verdict.verdict == "PASS", [(c.name, c.verdict, c.measured, c.statement) for c in verdict.criteria]
    assert verdict.harness == []
    counts = verdict.counts
    assert counts["eligible"] >= 29_956
    assert {
        name: counts[name] for name in ("lost", "late", "wrong", "unexpected", "duplicated")
    } == dict.fromkeys(("lost", "late", "wrong", "unexpected", "duplicated"), 0)
