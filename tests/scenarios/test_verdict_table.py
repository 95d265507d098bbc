"""The verdict on the command line: for a program, a line a criterion that begins with its verdict."""

from __future__ import annotations

from types import SimpleNamespace

from shakedown.acceptance.verdict import CriterionResult, Verdict
from shakedown.reports.suite import Suite, SuiteRun
from shakedown.scenarios.terminal import OUT
from shakedown.scenarios.verdict_table import print_suite, print_verdict

LONG = "12,345 of 67,890 samples, " * 5 + "and no more"


def results() -> list[CriterionResult]:
    return [
        CriterionResult(
            name="loss",
            title="Loss across outages",
            verdict="PASS",
            threshold="< 0.01 %",
            measured=LONG,
            statement="",
        ),
        CriterionResult(
            name="session",
            title="Session",
            verdict="FAIL",
            threshold="none [bold]",
            measured="3",
            statement="Wrong.",
        ),
    ]


def test_in_a_pipe_each_criterion_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(OUT, "width", 80, raising=False)
    verdict = Verdict(verdict="FAIL", scenario="wan", seed=1, criteria=results())
    print_verdict(SimpleNamespace(verdict=verdict))
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:5] == [
        f"PASS  Loss across outages  {LONG}  (< 0.01 %)",
        "FAIL  Session  3  (none [bold])",
        "",
    ]


def test_what_is_excused_is_said_not_to_be_counted(capsys):
    (first, *_) = results()
    first.verdict, first.measured, first.excused = "INCONCLUSIVE", "7 of 7", True
    print_verdict(SimpleNamespace(verdict=Verdict(verdict="PASS", scenario="wan", seed=1, criteria=[first])))
    assert "INCONCLUSIVE  Loss across outages  7 of 7 (not counted)  (< 0.01 %)" in capsys.readouterr().out


def test_in_a_pipe_each_criterion_of_a_suite_is_one_line(capsys):
    run = SuiteRun(scenario="wan", title="", folder="wan", verdict="FAIL", criteria=results(), harness=[])
    print_suite(
        Suite(
            verdict="FAIL",
            suite="default",
            seed=0,
            clock="virtual",
            broker="embedded",
            strict=False,
            runs=[run],
        )
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == f"PASS  wan  Loss across outages: {LONG}  (< 0.01 %)"
    assert lines[3] == "FAIL  wan  Session: 3  (none [bold])"


def test_texts_of_others_give_the_terminal_no_orders(capsys):
    result = results()[1]
    result.measured = "\x1b]0;mine\x07 \x9b2J \ud800 \N{BULLET}"
    print_verdict(SimpleNamespace(verdict=Verdict(verdict="FAIL", scenario="wan", seed=1, criteria=[result])))
    out = capsys.readouterr().out
    assert "\ufffd]0;mine \ufffd2J \ufffd \N{BULLET}" in out
    assert "\x1b" not in out
