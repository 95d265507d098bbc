"""Several runs one after the other, judged as one: what one of them says never keeps the others from being run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from shakedown.reports.suite import Suite, SuiteRun, worst
from shakedown.scenarios.bridge_runner import BridgeFactory, our_bridge
from shakedown.scenarios.errors import HarnessFault, RunFault, UsageError, in_words
from shakedown.scenarios.run_folders import place_of
from shakedown.scenarios.runner import Request, accept_each
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
            found = _runs(request, folder, console, factory, which, first=not runs)
            runs += found
            console.print(f"{which}  {worst(found)}", soft_wrap=True)
        return SuiteOutcome(folder.final, _finish(name, requests[0], runs, folder))
    except KeyboardInterrupt:
        if whole := folder.whole_runs():
            raise SuiteInterrupted(whole) from None
        raise
    finally:
        folder.leave()


def _runs(
    request: Request,
    folder: SuiteFolder,
    console: Console,
    factory: BridgeFactory,
    which: str,
    *,
    first: bool,
) -> list[SuiteRun]:
    """Carry out one scenario: a run for each of its bridges."""
    scenario, setup = request.setup.scenario, request.setup
    out = folder.place(scenario.name)
    names = {bridge: place_of(out, setup, bridge).name for bridge in setup.bridges}
    try:
        outcomes = accept_each(replace(request, out=out), console, factory, which=which)
    except (RunFault, UsageError) as error:
        if isinstance(error, RunFault):
            return [
                folder.faulty(name, scenario.title, error.what, folder.path / f"{name}.partial")
                for name in names.values()
            ]
        if first:
            raise
        # what was asked could be had before: the lab has changed
        return [folder.faulty(name, scenario.title, str(error), None) for name in names.values()]
    return [folder.concluded(names[bridge], scenario.title, outcome) for bridge, outcome in outcomes.items()]


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
