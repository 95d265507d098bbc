"""Whether a run folder, or a suite's, says what its logs say: chained, judged and rendered again, and compared.

Who changes a file can make the chain fit again. So nothing that follows from other files is believed: the verdict is
judged again from the logs, and the reports are rendered again from it. What is left to believe is the evidence itself,
and that has the head of the chain, which the run has printed and put into JUnit and the summary, outside of the folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import TemplateError

from shakedown.acceptance.files import LINE_BYTES_MAX
from shakedown.acceptance.judging import judge
from shakedown.acceptance.verdict import Verdict
from shakedown.acceptance.verdict_file import UnknownFormat, read_verdict
from shakedown.bridge.yamlfile import ConfigError, load
from shakedown.reports import RENDERERS, RunFacts
from shakedown.reports.suite import RENDERERS as SUITE_RENDERERS
from shakedown.reports.suite import Suite, SuiteRun, concluded, worst
from shakedown.scenarios import run_folder, suite_folder
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.scenario import Scenario
from shakedown.scenarios.suites import SUITES

ASKED = ("seed", "clock", "broker", "strict")


def verify(folder: Path, head: str | None = None) -> list[str]:
    """What is not as it was written or does not follow from the logs, in plain words; empty when everything does.

    `head` is that of the chain as the run printed it. Raises UsageError where `folder` is no run folder and no suite's.
    """
    if strange := _strange(folder):
        return strange
    suite_folder.check_came_to_its_end(folder)
    problems = _suite(folder) if suite_folder.is_suite(folder) else _run(folder)
    if head is not None and head != (found := run_folder.chain_head(folder)):
        problems.append(f"the head of its chain is {found or 'not there'} and not {head}: it is not the folder that "
                        "was written")  # fmt: skip
    return problems


def _strange(folder: Path) -> list[str]:
    try:
        return run_folder.strange_files(folder)
    except OSError:
        return []  # who reads it as a run or a suite says what is wrong


def _run(folder: Path) -> list[str]:
    manifest = run_folder.read_manifest(folder)
    if manifest["status"] != "complete":
        return [f"the run's status is {manifest['status']!r}: it holds no verdict"]
    problems = run_folder.chain_problems(folder, RENDERERS)
    problems += [f"{path.name} is not part of the run" for path in sorted(folder.iterdir()) if path.is_dir()]
    if problems:
        return problems
    if problems := _asked(folder, manifest):
        return [*problems, *_other_versions(manifest)]
    again = judge(folder, strict=manifest["strict"] is True)
    if (folder / "verdict.json").read_bytes() != again.encoded():
        problems.append(f"verdict.json does not follow from the logs{_differing(folder, again)}")
    else:
        problems += _reports(folder, manifest)
    return problems and [*problems, *_other_versions(manifest)]


def _asked(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """What the manifest says of its inputs that they do not."""
    hashes = {name: run_folder.file_sha256(folder / name) for name in run_folder.INPUTS}
    problems = [
        f"{name} is not what manifest.json says was asked"
        for name, digest in hashes.items()
        if manifest.get("configuration_sha256", {}).get(name) != digest
    ]
    try:
        scenario = load(folder / "scenario.yaml", Scenario)
    except ConfigError as error:
        return [*problems, f"scenario.yaml cannot be read: {error.problems[0]}"]
    problems += _simulated(folder, manifest)
    return problems + [
        f"manifest.json, {key}: {manifest.get(key)!r} is not {value!r}, which scenario.yaml says"
        for key, value in run_folder.of_scenario(scenario).items()
        if manifest.get(key) != value
    ]


def _simulated(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """What the ledger says of its line that the manifest does not: its logs are those of another run."""
    try:
        with (folder / "ledger.jsonl").open("rb") as file:
            header = json.loads(file.readline(LINE_BYTES_MAX))
            found = {key: header[key] for key in ("plant", "seed")}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ["ledger.jsonl does not say which line and seed it is of"]
    if "run" in manifest:
        del found["seed"]  # with several bridges each line has its own, drawn from the run's
    return [
        f"manifest.json, {key}: {manifest.get(key)!r} is not {value!r}, which ledger.jsonl says"
        for key, value in found.items()
        if manifest.get(key) != value
    ]


def _differing(folder: Path, again: Verdict) -> str:
    """What another verdict says than the logs."""
    try:
        before = read_verdict(folder / "verdict.json")
    except (UnknownFormat, msgspec.DecodeError) as error:
        return f": it cannot be read ({error})"
    now = {result.name: msgspec.to_builtins(result) for result in again.criteria}
    then = {result.name: msgspec.to_builtins(result) for result in before.criteria}
    other = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    of = f", another result of {', '.join(other)}" if other else ""
    return f": it says {before.verdict}, and they say {again.verdict}{of}"


def _reports(folder: Path, manifest: dict[str, Any]) -> list[str]:
    problems = []
    try:
        facts = RunFacts(folder, manifest, read_verdict(folder / "verdict.json"))
        for name, renderer in RENDERERS.items():
            if (folder / name).read_bytes() != renderer(facts).encode():
                problems.append(f"{name} does not follow from manifest.json and verdict.json")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, TemplateError) as error:
        problems.append(f"the reports cannot be rendered again: {type(error).__name__}: {error}")
    return problems


def _other_versions(manifest: dict[str, Any]) -> list[str]:
    """Another version of the judge may well say something else: which."""
    now = run_folder.versions()
    then = {**(manifest.get("versions") or {}), "python": manifest.get("python")}
    other = [
        f"{name} {then.get(name)}, here {version}"
        for name, version in now.items()
        if then.get(name) != version
    ]
    return [f"it was judged by other versions, so verify it with those: {'; '.join(other)}"] if other else []


def _suite(folder: Path) -> list[str]:
    suite = suite_folder.read_suite(folder)
    problems = run_folder.chain_problems(folder, SUITE_RENDERERS)
    for run in suite.runs:
        problems += _run_of_suite(folder, run)
    known = {run.folder or f"{run.scenario}.partial" for run in suite.runs}
    found = {path.name for path in folder.iterdir() if path.is_dir()}
    problems += [f"{name} is not part of the suite" for name in sorted(found - known)]
    return problems or _conclusions(folder, suite)


def _run_of_suite(folder: Path, run: SuiteRun) -> list[str]:
    if run.folder is None:
        return [f"{run.scenario} was not run to its end: it holds no verdict"]
    place = folder / run.folder
    try:
        problems = [f"{run.folder}: {problem}" for problem in _strange(place) or _run(place)]
    except UsageError as error:
        return [str(error)]
    if not problems and run_folder.chain_head(place) != run.chain:
        problems.append(f"{run.folder} is not the run that the suite was concluded from")
    return problems


def _name(manifest: dict[str, Any]) -> str:
    """What the folder of a run in a suite is called: after its scenario and, of several, its bridge."""
    return ".".join(filter(None, [manifest["scenario"], manifest.get("run", {}).get("bridge")]))


def _conclusions(folder: Path, suite: Suite) -> list[str]:
    """What a suite says that its runs, which are as they were written, do not."""
    problems = []
    if len({run.folder for run in suite.runs}) < len(suite.runs):
        problems.append("suite.json has a run twice")
    manifests = [run_folder.read_manifest(folder / str(run.folder)) for run in suite.runs]
    ran = {manifest["scenario"] for manifest in manifests}
    problems += [
        f"suite.json says suite {suite.suite}, and has no run of {name}"
        for name in SUITES.get(suite.suite, ())
        if name not in ran
    ]
    for run, manifest in zip(suite.runs, manifests, strict=True):
        place = folder / str(run.folder)
        verdict = read_verdict(place / "verdict.json")
        if run != concluded(_name(manifest), manifest["title"], _name(manifest), str(run.chain), verdict):
            problems.append(f"suite.json says of {run.scenario} what its run does not")
        problems += [
            f"suite.json, {key}: {getattr(suite, key)!r} is not {manifest[key]!r}, which {place.name} says"
            for key in ASKED
            if manifest[key] != getattr(suite, key)
        ]
    if suite.verdict != worst(suite.runs):
        problems.append(f"suite.json says {suite.verdict}, and its runs {worst(suite.runs)}")
    for name, renderer in SUITE_RENDERERS.items():
        if not problems and (folder / name).read_bytes() != renderer(suite, folder).encode():
            problems.append(f"{name} does not follow from suite.json and the runs")
    return problems
