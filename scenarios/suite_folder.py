"""The folder that a suite leaves behind: a run folder for each scenario, and what they say together.

It is written into `<folder>.partial` and gets its name when all runs are through, as a run folder does.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from shakedown.acceptance.files import Problem
from shakedown.acceptance.verdict_file import read_verdict
from shakedown.reports.suite import INDEX, RENDERERS, Suite, SuiteRun, concluded, faulty, render_suite
from shakedown.scenarios import run_folder
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.runner import Outcome

FORMAT = 1


class SuiteFolder:
    """One suite's folder while it is written. Raises UsageError when the place is taken or cannot be written."""

    def __init__(self, final: Path) -> None:
        self.final = final
        self.path = run_folder.claim(final)

    def place(self, scenario: str) -> Path:
        """Where the run of `scenario` belongs."""
        return self.path / scenario

    def concluded(self, scenario: str, title: str, outcome: Outcome) -> SuiteRun:
        """Note the verdict of a run in this folder."""
        head = run_folder.chain_head(outcome.folder)
        verdict = read_verdict(outcome.folder / "verdict.json")  # as who verifies it will read it
        return concluded(scenario, title, outcome.folder.name, head, verdict)

    def faulty(self, scenario: str, title: str, what: str, seen: Path | None) -> SuiteRun:
        """Note that the lab failed; `seen` is the folder with what was seen until then, None if nothing was."""
        where = seen.name if seen else scenario
        remedy = f"{f'What was seen until then is in {seen.name}. ' if seen else ''}Run it again alone."
        return faulty(scenario, title, Problem(what, where, remedy))

    def finish(self, suite: Suite) -> Path:
        """Write the index, chain it, write the reports and give the folder its name."""
        suite.write(self.path / INDEX)
        run_folder.write_chain(self.path, RENDERERS)
        render_suite(self.path)
        self.path.rename(self.final)
        return self.final

    def whole_runs(self) -> list[Path]:
        """The runs in it that came to their verdict, in order of name."""
        return _whole_runs(self.path)

    def leave(self) -> None:
        """Keep what is in it under its partial name; an empty one goes."""
        with contextlib.suppress(OSError):  # not empty
            self.path.rmdir()


def is_suite(folder: Path) -> bool:
    """Whether `folder` is one of a suite that was run to its end, and not of a single run."""
    return (folder / INDEX).is_file()


def read_suite(folder: Path) -> Suite:
    """The index of a suite folder. Raises UsageError when it is none, or not one that can be read."""
    try:
        suite = Suite.read(folder / INDEX)
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{folder / INDEX} is not the index of a suite ({error}). Give the folder that a suite "
                         "printed at its end, or one of the run folders in it.") from None  # fmt: skip
    if suite.format != FORMAT:
        raise UsageError(f"{folder}: its {INDEX} has format {suite.format!r}, this version reads {FORMAT}. Use the "
                         "version of Shakedown that wrote it.")  # fmt: skip
    for run in suite.runs:
        if run.folder is not None and not _is_name(run.folder):
            raise UsageError(f"{folder / INDEX}: run {run.scenario}: folder {run.folder!r} is not the name of a folder "
                             "in it. The file was changed; give one of the run folders themselves.")  # fmt: skip
    return suite


def _is_name(text: str) -> bool:
    return bool(text) and text != ".." and "\0" not in text and Path(text).name == text


def check_came_to_its_end(folder: Path) -> None:
    """Raise UsageError, with the runs to give instead, when `folder` is of a suite that did not come to its end."""
    if is_suite(folder) or (folder / "manifest.json").exists():
        return
    if runs := _whole_runs(folder):
        raise UsageError(f"{folder} is of a suite that did not come to its end, and as a whole says nothing. Give one "
                         f"of its runs: {', '.join(map(str, runs))}.")  # fmt: skip


def runs_in(folder: Path) -> list[Path]:
    """The run folders that are meant: all of a suite's, or the folder itself.

    Raises UsageError when it is of a suite in which a run did not come to its verdict.
    """
    check_came_to_its_end(folder)
    if not is_suite(folder):
        return [folder]
    runs = read_suite(folder).runs
    if unjudged := [run.scenario for run in runs if run.folder is None]:
        raise UsageError(f"{folder}: {', '.join(unjudged)} did not come to a verdict. Give the others one by one: "
                         f"{', '.join(str(folder / run.folder) for run in runs if run.folder)}.")  # fmt: skip
    return [folder / run.folder for run in runs if run.folder]


def _whole_runs(folder: Path) -> list[Path]:
    return [file.parent for file in sorted(folder.glob("*/chain.json")) if file.parent.suffix != ".partial"]
