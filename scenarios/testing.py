"""What the pytest plugin gives to tests: runs of scenarios, and assertions on what was concluded of them."""

from __future__ import annotations

import ast
import asyncio
import inspect
import math
import os
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from shakedown.acceptance.criteria import all_criteria
from shakedown.acceptance.verdict import CriterionResult, Verdict, combine
from shakedown.acceptance.verdict_file import read_verdict
from shakedown.bridge.yamlfile import ConfigError, did_you_mean
from shakedown.reports.frames import Run
from shakedown.scenarios import brokers, model, runner
from shakedown.scenarios.bridges.choice import Choice, FileBridge, choose, of_factory
from shakedown.scenarios.errors import HarnessFault, UsageError
from shakedown.scenarios.options import CLOCKS, is_clock
from shakedown.scenarios.suite_runner import accept_all
from shakedown.scenarios.suites import SUITES

FOLDERS_MAX = 10_000
SEEDS = 2**32


@dataclass(frozen=True, repr=False)
class AcceptedRun(Run):
    """A finished run: its folder, what was concluded, and its data (frames.py).

    Of a run with several bridges, `bridges` has the run of each, assertions hold for all of them, and `verdict` is that
    of the worst.
    """

    verdict: Verdict
    seed: int
    bridges: dict[str, AcceptedRun] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<{self.verdict.verdict} of {self.verdict.scenario}, seed {self.seed}: {self.folder}>"

    @property
    def report(self) -> Path:
        """The page that shows everything."""
        return self.folder / ("index.html" if self.bridges else "report.html")

    def criterion(self, name: str) -> CriterionResult:
        """What one criterion says. Raises KeyError with the names of those that were judged."""
        return self.verdict.criterion(name)

    def assert_pass(self, *criteria: str) -> None:
        """The run is a PASS, or each of `criteria` is; else the test fails with what they say."""
        __tracebackhide__ = True
        self._know(criteria)
        if unmet := [text for one in self._each() if (text := one._unmet(criteria))]:
            raise AssertionError("\n".join(unmet))

    def assert_fail(self, *criteria: str) -> None:
        """Each of `criteria` is a FAIL, and no other one is: for a bridge or a rule that must be refused."""
        __tracebackhide__ = True
        self._know(criteria)
        for one in self._each():
            failed = {result.name for result in one.verdict.criteria if result.verdict == "FAIL"}
            if failed != set(criteria) or one.verdict.harness:
                others = [r for r in one.verdict.criteria if (r.name in criteria) != (r.verdict == "FAIL")]
                raise AssertionError(f"to FAIL: {', '.join(criteria) or 'nothing'}; {one._said(others)}")

    def _know(self, criteria: tuple[str, ...]) -> None:
        """Fail the test, in a line, for a name that no criterion of the run has."""
        known = [result.name for result in self.verdict.criteria]
        for name in criteria:
            if name not in known:
                pytest.fail(f"no criterion {name!r} was judged - {did_you_mean(name, known)}", pytrace=False)

    def _each(self) -> tuple[AcceptedRun, ...]:
        return tuple(self.bridges.values()) or (self,)

    def _unmet(self, criteria: tuple[str, ...]) -> str:
        """What speaks against a PASS of the run, or of `criteria`; empty if nothing does."""
        if criteria:
            wrong = [result for result in map(self.criterion, criteria) if result.verdict != "PASS"]
            return self._said(wrong) if wrong or self.verdict.harness else ""
        if self.verdict.verdict == "PASS":
            return ""
        open_ones = [r for r in self.verdict.criteria if r.verdict != "PASS" and not r.excused]
        return self._said([r for r in open_ones if r.verdict in ("FAIL", "HARNESS_FAULT")] or open_ones)

    def _said(self, results: list[CriterionResult]) -> str:
        lines = [f"{self.verdict.scenario}, seed {self.seed}: {self.verdict.verdict}"]
        for result in results:
            needs = f" For a verdict it needs {result.needs}." if result.needs else ""
            lines.append(f"{result.verdict}  {result.title}: {result.statement}{needs}")
        lines += [
            f"harness  {found.what} ({found.where}): {found.remedy}" for found in self.verdict.harness[:3]
        ]
        return "\n".join([*lines, f"report  {self.report}"])


def check_names(test: Callable[..., Any]) -> None:
    """Fail for a criterion that the source of a test asserts on by a name that none has."""
    try:
        source = ast.parse(textwrap.dedent(inspect.getsource(test)))
    except (OSError, SyntaxError):  # not to be had: then it is seen after the run
        return
    known = [criterion.name for criterion in all_criteria()[0]]
    for call in ast.walk(source):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        for given in call.args if call.func.attr in ("assert_pass", "assert_fail") else []:
            if isinstance(given, ast.Constant) and given.value not in known:
                what = f"there is no criterion {given.value!r}"
                pytest.fail(f"{what} - {did_you_mean(str(given.value), known)}", pytrace=False)


@dataclass
class Lab:
    """Runs scenarios for the tests of one session; what the command line says is in `forced`."""

    out: Path
    folders: tuple[Path, ...]
    forced: dict[str, Any] = field(default_factory=dict)
    _runs: dict[tuple[Any, ...], AcceptedRun] = field(default_factory=dict)

    @classmethod
    def of(cls, config: pytest.Config, temporary: pytest.TempPathFactory) -> Lab:
        """As the options of this pytest say."""
        names = ("seed", "bridge", "clock")
        given = {name: config.getoption(f"--shakedown-{name}") for name in names}
        forced = {name: value for name, value in given.items() if value is not None}
        if config.getoption("--shakedown-strict"):
            forced["strict"] = True
        out = config.getoption("--shakedown-out")
        folder = config.invocation_params.dir / out if out else temporary.mktemp("shakedown", numbered=True)
        return cls(folder, (config.invocation_params.dir, config.rootpath), forced)

    def accept(
        self,
        scenario: str | os.PathLike[str],
        *,
        seed: int = 0,
        strict: bool = False,
        bridge: str | os.PathLike[str] | Callable[..., Any] = "ours",
        clock: str | None = None,
        broker: str = "embedded",
        duration_s: float | None = None,
        beside: Path | None = None,
    ) -> AcceptedRun:
        """Run a scenario (a shipped name or a file) against a bridge, as `shakedown accept` does; the finished run.

        `bridge` is what `--bridge` takes, or a factory; `clock` is `wall` for a bridge file, else `virtual`, unless
        given. Files are looked for in `beside`, where pytest was started, and in its root folder. Fails the test where
        the run cannot be had as asked, and where the lab itself fails.
        """
        __tracebackhide__ = True
        asked = {"seed": seed, "strict": strict, "bridge": bridge, "clock": clock} | self.forced
        folders = (beside, *self.folders) if beside else self.folders
        try:
            return self._accept(_found(scenario, folders), folders, asked, broker, duration_s)
        except (UsageError, ConfigError) as error:
            why = f"usage or configuration: {error}"
        except HarnessFault as fault:
            why = f"harness fault, and nothing is said of the bridge: {fault}"
        pytest.fail(why, pytrace=False)

    def _accept(
        self,
        scenario: str,
        folders: tuple[Path, ...],
        asked: dict[str, Any],
        broker: str,
        duration_s: float | None,
    ) -> AcceptedRun:
        _refuse_running_loop()
        bridge = asked["bridge"] if callable(asked["bridge"]) else _found(asked["bridge"], folders)
        key = (scenario, bridge, asked["seed"], asked["strict"], asked["clock"], broker, duration_s)
        if key not in self._runs:
            setup = model.set_up(model.find(scenario))
            if duration_s is not None:
                if not 1 <= duration_s < math.inf:
                    raise UsageError(
                        f"duration_s of {duration_s!r} is less than 1, or not finite. Give seconds."
                    )
                setup = model.shortened(setup, duration_s)
            chosen: Choice = choose(bridge) if isinstance(bridge, str) else of_factory(bridge)
            clock = asked["clock"] or ("wall" if isinstance(chosen, FileBridge) else "virtual")
            seed = asked["seed"]
            if not is_clock(clock):
                raise UsageError(f"{clock!r} is not a clock. Give {CLOCKS}.")
            if not 0 <= seed < SEEDS:
                raise UsageError(f"Seed {seed} is not 0 to {SEEDS - 1}.")
            brokers.check_choice(broker, clock, setup)
            chosen.check(setup, clock, broker)
            request = runner.Request(
                setup,
                self._folder(setup.scenario.name, seed),
                clock,
                seed,
                broker,
                None,
                asked["strict"],
                chosen,
                scenario,
                duration_s,
            )
            self._runs[key] = _carried_out(request)
        return self._runs[key]

    def _folder(self, scenario: str, seed: int) -> Path:
        """A folder that is not there yet; processes of pytest-xdist have names of their own."""
        worker = os.environ.get("PYTEST_XDIST_WORKER", "")
        name = "-".join([scenario, f"seed{seed}", *([worker] if worker else [])])
        for number in range(1, FOLDERS_MAX):
            folder = self.out / (name if number == 1 else f"{name}-{number}")
            if not folder.exists() and not folder.with_name(f"{folder.name}.partial").exists():
                return folder
        raise UsageError(f"{self.out} holds {FOLDERS_MAX} runs of {scenario} already. Remove them, or give another "
                         "--shakedown-out.")  # fmt: skip


def _found(name: str | os.PathLike[str], folders: tuple[Path, ...]) -> str:
    """The path of a file that is named relative to one of `folders`; any other name as it is."""
    text = os.fspath(name)
    if not re.search(r"\.ya?ml$", text):
        if text in SUITES:
            raise UsageError(
                f"{text!r} is a suite. Name its scenarios, each in a test: {', '.join(SUITES[text])}."
            )
        return text
    return next((str(folder / text) for folder in folders if (folder / text).is_file()), text)


def _carried_out(request: runner.Request) -> AcceptedRun:
    """The finished run; with several bridges a folder with a run folder for each, and an index."""
    quiet = Console(stderr=True, force_terminal=False)  # what somebody has to act on, and no progress
    if not request.setup.others:
        outcome = runner.accept(request, quiet)
        return AcceptedRun(outcome.folder, outcome.verdict, request.seed)
    found = accept_all("", [request], request.out, quiet)
    if faults := [fault.what for run in found.suite.runs if run.folder is None for fault in run.harness]:
        raise HarnessFault(f"{faults[0]}. What was seen until then is in {found.folder}")
    bridges = {}
    for name in request.setup.bridges:
        run = found.folder / f"{request.setup.scenario.name}.{name}"
        bridges[name] = AcceptedRun(run, read_verdict(run / "verdict.json"), request.seed)
    worst = combine([one.verdict.verdict for one in bridges.values()])
    verdict = next(one.verdict for one in bridges.values() if one.verdict.verdict == worst)
    return AcceptedRun(found.folder, verdict, request.seed, bridges)


def _refuse_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError("A run has an event loop of its own. Call accept() from a test that is not async.")
