"""A run that is not whole, or whose files are damaged, never passes, and never crashes the judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shakedown.acceptance import judge

LOGS = ["ledger.jsonl", "host.jsonl", "broker.jsonl"]


@pytest.fixture(scope="session")
def whole(lab, tmp_path_factory) -> dict[str, bytes]:
    folder = lab.healthy(320, wan=(60, 120), host=(200, 220)).write(tmp_path_factory.mktemp("whole"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(whole, tmp_path: Path) -> Path:
    return _restore(whole, tmp_path)


def _restore(whole: dict[str, bytes], folder: Path) -> Path:
    for name, content in whole.items():
        (folder / name).write_bytes(content)
    return folder


def test_the_whole_run_has_no_problems(folder: Path) -> None:
    verdict = judge(folder)
    assert (verdict.harness, verdict.verdict) == ([], "INCONCLUSIVE")


@pytest.mark.parametrize("status", ["running", "interrupted", None])
def test_an_interrupted_run_holds_no_verdict(folder: Path, status: str | None) -> None:
    (folder / "manifest.json").write_text(json.dumps({"scenario": "wan_outage", "seed": 1, "status": status}))
    verdict = judge(folder)
    assert (verdict.verdict, verdict.criteria) == ("INCONCLUSIVE", [])
    assert "not complete" in verdict.harness[0].what
    assert "shakedown accept" in verdict.harness[0].remedy


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{", b"\xff\xfe", b"null"])
@pytest.mark.parametrize("name", ["manifest.json", "site.yaml", *LOGS])
def test_a_missing_or_foreign_file_is_a_harness_fault(folder: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    verdict = judge(folder)
    if name == "broker.jsonl" and content is None:
        assert verdict.verdict == "INCONCLUSIVE"  # a foreign broker has none
        return
    assert (verdict.verdict, verdict.exit_code) == ("HARNESS_FAULT", 4)
    assert name in verdict.harness[0].where or name in verdict.harness[0].what
    assert all(problem.what and problem.remedy for problem in verdict.harness)


@pytest.mark.parametrize("name", LOGS)
def test_a_truncated_last_line_is_told(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-40])
    verdict = judge(folder)
    assert verdict.verdict == "HARNESS_FAULT"
    text = " ".join(problem.what for problem in verdict.harness)
    assert f"{name} its last line is truncated" in text or f"{name} has no Z line" in text


@pytest.mark.parametrize("name", LOGS)
def test_a_log_without_its_last_line_is_told(folder: Path, name: str) -> None:
    lines = (folder / name).read_bytes().splitlines(keepends=True)
    (folder / name).write_bytes(b"".join(lines[:-1]))
    verdict = judge(folder)
    assert verdict.verdict == "HARNESS_FAULT"
    assert f"{name} has no Z line" in verdict.harness[0].what


@pytest.mark.parametrize("name", [*LOGS, "timeline.jsonl"])
@pytest.mark.parametrize(
    "garbage", [b"\x00\xff\n", b"[1,2\n", b'["X"]\n', b"7\n", b"{}\n", b'["H",1]\n["A",1]\n["S",1,999,2,3]\n']
)
def test_a_garbage_line_is_told_with_its_file(folder: Path, name: str, garbage: bytes) -> None:
    lines = (folder / name).read_bytes().splitlines(keepends=True)
    lines.insert(min(3, len(lines) - 1), garbage)
    (folder / name).write_bytes(b"".join(lines))
    verdict = judge(folder)
    assert verdict.verdict == "HARNESS_FAULT"
    assert name in verdict.harness[0].where


def test_a_torn_line_before_a_restart_of_the_host_is_no_problem(folder: Path) -> None:
    lines = (folder / "host.jsonl").read_bytes().splitlines(keepends=True)
    lines[200:200] = [lines[199][:-20] + b"\n", b'["E",1767592900000000000,"started",{}]\n']
    (folder / "host.jsonl").write_bytes(b"".join(lines))
    assert judge(folder).harness == []


def test_a_ledger_that_holds_less_than_it_says_is_told(folder: Path) -> None:
    lines = (folder / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "ledger.jsonl").write_bytes(b"".join(lines[:500] + lines[510:]))
    what = judge(folder).harness[0].what
    assert what == "ledger.jsonl says 2560 samples and holds 2550"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("ns=2;s=F.TT", "ns=2;s=OTHER", "not a signal of the ledger"),
        ("unit: CEL", "unit: MTR", "'FAH' is a temperature"),
        ("from: FAH", "from: XYZ", "'XYZ' is not in the judge's table"),
        ("south: plc1", "south: plc9", "cannot be understood"),
        ("class: heartbeat", "class: pulse", "cannot be understood"),
        ("format: 1", "format: [", "cannot be read"),
    ],
)
def test_a_site_that_does_not_fit_is_a_harness_fault(folder: Path, old: str, new: str, what: str) -> None:
    text = (folder / "site.yaml").read_text()
    assert old in text
    (folder / "site.yaml").write_text(text.replace(old, new, 1))
    verdict = judge(folder)
    assert verdict.verdict == "HARNESS_FAULT"
    assert what in " ".join(problem.what for problem in verdict.harness)


def test_an_empty_folder_and_none_at_all(tmp_path: Path) -> None:
    assert judge(tmp_path).verdict == "HARNESS_FAULT"
    assert judge(tmp_path / "nowhere").verdict == "HARNESS_FAULT"


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_to_a_log_makes_the_judge_crash_or_pass(whole, tmp_path: Path, data) -> None:
    folder = _restore(whole, tmp_path)
    name = data.draw(st.sampled_from([*LOGS, "timeline.jsonl", "site.yaml"]))
    content = bytearray(whole[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=6))
        if not content:
            break
    (folder / name).write_bytes(bytes(content))
    assert judge(folder).verdict in ("HARNESS_FAULT", "INCONCLUSIVE", "FAIL")
