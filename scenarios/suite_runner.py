"""Several runs one after the other, judged as one: what one of them says never keeps the others from being run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from shakedown.reports.suite import Suite, SuiteRun, worst
from shakedown.scenarios.bridge_runner import BridgeFactory, our_bridge
from shakedown.scenarios.errors import HarnessFault, RunFault, UsageError, in_words
from shakedown.scenarios.runner import Request, accept
from shakedown.scenarios.suite_folder import SuiteFolder


@dataclass(frozen=True)
class SuiteOutcome:
    """Where a finished suite lies, and what was concluded."""

    folder: Path
    suite: Suite


class SuiteInterrupted(KeyboardInterrupt):
    """A suite was interrupted: the run in progress is gone, the `whole` ones before it stay where they are."""

    def __init__(self, whole: Sequence[Path]) -> None:
        super().__init__()
        self.whole = tuple(whole)


def accept_all(
    name: str, requests: Sequence[Request], out: Path, console: Console, factory: BridgeFactory = our_bridge
) -> SuiteOutcome:
    """Carry out the runs of suite `name` ("" for one without a name), each in its own folder in `out`.

    The requests differ in their setup alone. A run in which the lab fails is part of the suite, as a harness fault.
    Raises UsageError when the first run cannot be had as asked, and SuiteInterrupted when whole runs were kept.
    """
    folder = SuiteFolder(out)
    runs: list[SuiteRun] = []
    try:
        for number, request in enumerate(requests, 1):
            which = f"{number} of {len(requests)}  {request.setup.scenario.name}"
            runs.append(_run(request, folder, console, factory, which, first=not runs))
            if console.is_terminal:
                console.print(f"{which}  {runs[-1].verdict}")
        return SuiteOutcome(folder.final, _finish(name, requests[0], runs, folder))
    except KeyboardInterrupt:
        if whole := folder.whole_runs():
            raise SuiteInterrupted(whole) from None
        raise
    finally:
        folder.leave()


def _run(
    request: Request,
    folder: SuiteFolder,
    console: Console,
    factory: BridgeFactory,
    which: str,
    *,
    first: bool,
) -> SuiteRun:
    scenario = request.setup.scenario
    try:
        outcome = accept(replace(request, out=folder.place(scenario.name)), console, factory, which=which)
    except RunFault as fault:
        return folder.faulty(scenario, fault.what, fault.folder)
    except UsageError as error:
        if first:
            raise
        return folder.faulty(
            scenario, str(error), None
        )  # what was asked could be had before: the lab has changed
    return folder.concluded(scenario, outcome.verdict)


def _finish(name: str, asked: Request, runs: list[SuiteRun], folder: SuiteFolder) -> Suite:
    suite = Suite(
        suite=name,
        verdict=worst(runs),
        seed=asked.seed,
        clock=asked.clock,
        broker=asked.broker,
        strict=asked.strict,
        runs=runs,
    )
    try:
        folder.finish(suite)
    except OSError as error:
        raise HarnessFault(
            f"the suite's index cannot be written: {in_words(error)}. The runs are in {folder.path}"
        ) from error
    return suite
