"""`shakedown alarms tune` as a person, a site.yaml and a program have it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from shakedown.scenarios import cli
from shakedown.scenarios.terminal import OUT
from tests.acceptance.test_tuning import FAULTS, RULE, hot, quiet
from tests.acceptance.tuning_rig import sensor


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spikes = [(begin, begin + 12) for begin in (1_000, 3_500, 6_000, 8_500, 11_000)]
    values = hot(quiet(), *spikes, *[fault[:2] for fault in FAULTS])
    return sensor(tmp_path_factory.mktemp("run"), values, RULE, faults=FAULTS)


def said(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["alarms", "tune", *args])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), " ".join(out.split()), " ".join(err.split())


def test_the_table_shows_now_and_new(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, str(run))
    assert code == 0
    assert "1 alarm rules over 3.3 h, 1 with a proposal" in out
    assert "hot now 0, 0 0" in out
    assert "halves agree new 15, 0 0 0 0 of 4 15.0, 15.0 1.0" in out
    assert "fewest false alarms by longest delay:" in out
    assert "0 of 4 missed: with 95 % confidence fewer than 53% would be" in out
    assert "made from the first half (on 15 s, off 0 s" in out


def test_a_row_of_the_table_is_one_line_for_a_program(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OUT, "width", 30)
    printed = CliRunner().invoke(cli.cli, ["alarms", "tune", str(run)]).stdout
    assert any(
        line.startswith("  halves agree") and line.rstrip().endswith("15.0, 15.0   1.0")
        for line in printed.splitlines()
    )


def test_yaml_and_json_are_for_programs(run: Path) -> None:
    printed = CliRunner().invoke(cli.cli, ["alarms", "tune", str(run), "--yaml"])
    assert printed.exit_code == 0
    assert yaml.safe_load(printed.stdout) == {
        "alarms": {"hot": {"metric": "c.m/t", "high": 3.0, "priority": "high", "on_delay_s": 15}}
    }
    printed = CliRunner().invoke(cli.cli, ["alarms", "tune", str(run), "--json", "--share", "0.05"])
    (rule,) = json.loads(printed.stdout)["rules"]
    assert rule["proposed"]["setting"]["on_delay_s"] <= 12, "a twentieth of 240 s"
    assert rule["now"]["false_alarms"] > rule["proposed"]["false_alarms"] > 0


def test_a_proposal_to_be_pasted_says_what_is_doubtful_about_it(run: Path, tmp_path: Path) -> None:
    assert "doubtful" not in CliRunner().invoke(cli.cli, ["alarms", "tune", str(run), "--yaml"]).stdout
    spikes = [(begin, begin + 12) for begin in (1_000, 3_500, 6_000, 8_500, 11_000)]
    few = sensor(tmp_path / "few", hot(quiet(), *spikes, FAULTS[0][:2]), RULE, faults=FAULTS[:1])
    printed = CliRunner().invoke(cli.cli, ["alarms", "tune", str(few), "--yaml"]).stdout
    assert yaml.safe_load(printed)["alarms"]["hot"]["on_delay_s"] == 15
    assert printed.splitlines()[:4] == [
        "alarms:",
        "  # doubtful: made from 1 fault of this alarm only",
        "  # doubtful: not checked on another half: the second half has no fault that can be told in time",
        "  hot:",
    ]
    late = [(begin, begin + 12) for begin in (8_500, 11_000)]
    odd = sensor(tmp_path / "odd", hot(quiet(), *late, *[fault[:2] for fault in FAULTS]), RULE, faults=FAULTS)
    printed = CliRunner().invoke(cli.cli, ["alarms", "tune", str(odd), "--yaml"]).stdout
    assert (
        "# doubtful: not confirmed, made from the first half: 0 false there, 2 in the other half" in printed
    )


def test_what_cannot_be_done_ends_with_2(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, str(tmp_path / "nowhere"))[::2][0] == 2
    code, out, err = said(capsys, str(tmp_path))
    assert (code, out) == (2, "")
    assert "is not a run folder" in err
    assert "Give the folder that" in err
    assert said(capsys, str(run), "--yaml", "--json")[0] == 2
    assert said(capsys, str(run), "--share", "0")[0] == 2
    assert said(capsys, str(run), "--share", "nan")[0] == 2
    ledger = run / "ledger.jsonl"
    whole = ledger.read_bytes()
    try:
        ledger.write_bytes(whole[:-400])
        code, _, err = said(capsys, str(run))
        assert code == 2
        assert "ledger.jsonl" in err
    finally:
        ledger.write_bytes(whole)
