"""What the reports know of a run: its manifest, its timeline and its verdict, as they stand in the run folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from shakedown.acceptance.verdict import CriterionResult, Verdict
from shakedown.reports.physical_events import Floor, read_floor

HEADLINES = {
    "PASS": "The bridge passed.",
    "FAIL": "The bridge failed.",
    "INCONCLUSIVE": "There is not enough evidence for a verdict.",
    "HARNESS_FAULT": "The lab itself failed: this says nothing about the bridge.",
}
SHIFT = ("oee", "nuisance", "false_alarms", "acknowledgement", "work_orders")
"""The criteria of a shift: a run that is judged on none of them shows nothing of the floor."""


@dataclass(frozen=True)
class RunFacts:
    """One finished run, read from its folder."""

    folder: Path
    manifest: dict[str, Any]
    verdict: Verdict
    faults: tuple[dict[str, Any], ...]
    phases: tuple[dict[str, Any], ...]

    @property
    def headline(self) -> str:
        return HEADLINES[self.verdict.verdict]

    @cached_property
    def floor(self) -> Floor | None:
        """What happened on the floor, None for a run that was judged on nothing of a shift."""
        if not any(self.details(name) for name in SHIFT):
            return None
        return read_floor(self.folder, self.start_ns, int(self.manifest["end_ns"]))

    @cached_property
    def description(self) -> str:
        """What the scenario says of itself; empty if nothing."""
        return _text(_document(self.folder / "scenario.yaml").get("description"))

    @cached_property
    def alarm_texts(self) -> dict[str, str]:
        """What each alarm of `site.yaml` says to people."""
        alarms = _document(self.folder / "site.yaml").get("alarms")
        if not isinstance(alarms, dict):
            return {}
        return {str(name): _text(rule.get("text")) for name, rule in alarms.items() if isinstance(rule, dict)}

    def criterion(self, name: str) -> CriterionResult | None:
        """What was concluded on a criterion, None if the run was not judged on it."""
        return next((result for result in self.verdict.criteria if result.name == name), None)

    def details(self, name: str) -> dict[str, Any]:
        """The figures of a criterion, empty if the run was not judged on it."""
        result = self.criterion(name)
        return result.details if result else {}

    @property
    def start_ns(self) -> int:
        return int(self.manifest["start_ns"])

    def second(self, ns: int) -> float:
        """Seconds since the line began."""
        return (ns - self.start_ns) / 1e9

    @property
    def command(self) -> str:
        """What repeats this run from the command line."""
        parts = ["shakedown accept", self.manifest["scenario"], f"--seed {self.manifest['seed']}"]
        if self.manifest["clock"] != "virtual":
            parts.append(f"--clock {self.manifest['clock']}")
        if self.manifest["broker"] != "embedded":
            parts.append(f"--broker {self.manifest['broker']}")
        if self.manifest["strict"]:
            parts.append("--strict")
        return " ".join(parts)


def read_facts(folder: Path) -> RunFacts:
    """Read a run folder. Raises OSError or ValueError when a file is missing or is not what it should be."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in (folder / "timeline.jsonl").read_text(encoding="utf-8").splitlines()]
    rows.sort(key=lambda row: (row["start_ns"], row["id"]))
    faults = tuple(row for row in rows if row["kind"] != "phase")
    phases = tuple(row for row in rows if row["kind"] == "phase")
    return RunFacts(folder, manifest, Verdict.read(folder / "verdict.json"), faults, phases)


def _document(path: Path) -> dict[str, Any]:
    """A YAML file of the run's inputs; empty when it is not there or not what it should be."""
    try:
        loaded = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""
