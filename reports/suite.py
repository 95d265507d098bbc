"""What a suite looks like: `suite.json` is its model, `index.html` and `junit.xml` are made of it and of its runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as Xml

import msgspec

from shakedown.acceptance.files import Problem
from shakedown.acceptance.verdict import EXIT_CODES, Conclusion, Outcome, Verdict, combine
from shakedown.reports.facts import HEADLINES, read_facts
from shakedown.reports.html import page
from shakedown.reports.junit import as_text, classname, empty_suite, fault_case, finished, suite_of

INDEX = "suite.json"


class SuiteRun(msgspec.Struct, kw_only=True):
    """One run of a suite. `folder` and `chain` (the head of its chain.json) are None for a run without a verdict."""

    scenario: str
    title: str
    verdict: Outcome
    folder: str | None = None
    chain: str | None = None
    criteria: list[Conclusion] = []
    harness: list[Problem] = []


class Suite(msgspec.Struct, kw_only=True):
    """Several runs judged as one (docs/architecture.md, `suite.json`)."""

    format: int = 1
    suite: str
    verdict: Outcome
    seed: int
    clock: str
    broker: str
    strict: bool
    runs: list[SuiteRun]

    @property
    def exit_code(self) -> int:
        """0 PASS, 1 FAIL, 3 INCONCLUSIVE, 4 harness fault: the worst of the runs'."""
        return EXIT_CODES[self.verdict]

    @property
    def name(self) -> str:
        """The suite's name, or its scenarios."""
        return self.suite or ", ".join(run.scenario for run in self.runs)

    def write(self, path: Path) -> None:
        """Write `suite.json`."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @classmethod
    def read(cls, path: Path) -> Suite:
        """Read `suite.json`. Raises msgspec.ValidationError or msgspec.DecodeError for anything else."""
        return msgspec.json.decode(path.read_bytes(), type=cls)


def concluded(scenario: str, title: str, folder: str, chain: str, verdict: Verdict) -> SuiteRun:
    """A run that came to its verdict; figures and blocks of its criteria stay in its own `verdict.json`."""
    return SuiteRun(
        scenario=scenario,
        title=title,
        verdict=verdict.verdict,
        folder=folder,
        chain=chain,
        criteria=[msgspec.convert(result, Conclusion, from_attributes=True) for result in verdict.criteria],
        harness=verdict.harness,
    )


def faulty(scenario: str, title: str, problem: Problem) -> SuiteRun:
    """A run that the lab could not carry to its end."""
    return SuiteRun(scenario=scenario, title=title, verdict="HARNESS_FAULT", harness=[problem])


def worst(runs: Iterable[SuiteRun]) -> Outcome:
    """The verdict on all runs together; what a run does not count (an announced INCONCLUSIVE) is not counted here."""
    return combine(run.verdict for run in runs)


def render_suite(folder: Path) -> None:
    """Write the reports of the suite in `folder` from its files alone; the same folder gives the same bytes."""
    suite = Suite.read(folder / INDEX)
    for name, renderer in RENDERERS.items():
        (folder / name).write_text(renderer(suite, folder), encoding="utf-8")


def render_index(suite: Suite, folder: Path) -> str:
    """Every criterion of every run in one table, each run with a link to its report."""
    return page("suite.html.j2", suite=suite, headline=HEADLINES[suite.verdict])


def render_suite_junit(suite: Suite, folder: Path) -> str:
    """The runs' JUnit test suites in one file; a run without a verdict is one case with an error."""
    root = Xml.Element("testsuites")
    for number, run in enumerate(suite.runs):
        element = suite_of(read_facts(folder / run.folder)) if run.folder else _without_verdict(run)
        element.attrib |= {"package": "shakedown", "id": str(number)}
        root.append(element)
    return as_text(root)


def _without_verdict(run: SuiteRun) -> Xml.Element:
    name = classname(run.scenario)
    element = empty_suite(name, datetime.fromtimestamp(0, UTC), 0.0)
    for number, fault in enumerate(run.harness, 1):
        fault_case(element, name, number, fault)
    return finished(element)


RENDERERS: dict[str, Callable[[Suite, Path], str]] = {
    "index.html": render_index,
    "junit.xml": render_suite_junit,
}
