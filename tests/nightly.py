"""`make nightly`: all that CI has no time for, and docs/nightly.md, which says what came of it.

Run as `python -m tests.nightly [PART ...]`; without a part, all of them. The page is written anew after each part, so a
night that was interrupted says which parts it did not reach. Ends with 1 if a part failed.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "nightly.md"
SEEDS, SHIFT_SEEDS, SUITE_SEEDS = 200, 100, 30
SHOWN_MAX = 10
HEAD = """# The last night

Written by `make nightly`, which runs what is longer than CI's budget; a part that did not run says so.

| | |
|---|---|
"""


@dataclass
class Part:
    """What a part holds, the arguments of pytest for it, and what came of it."""

    title: str
    arguments: list[str]
    result: str = "not run"
    took: str = ""
    skips: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def run(self, folder: Path) -> int:
        """Run it; pytest's own exit code."""
        junit = folder / "junit.xml"
        junit.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", f"--junit-xml={junit}", *self.arguments]
        begun = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        self.took = f"{(time.monotonic() - begun) / 60:.1f} min"
        self.result = self.read(junit) if junit.is_file() else f"pytest ended with {code} and no result"
        return code

    def read(self, junit: Path) -> str:
        """What a JUnit file says, in words; notes what was skipped and what failed."""
        cases = list(ElementTree.parse(junit).getroot().iter("testcase"))
        outcomes: Counter[str] = Counter()
        for case in cases:
            skipped = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                outcomes["failed"] += 1
                self.failures.append(f"{case.get('classname', '')}.{case.get('name', '')}")
            elif skipped is None:
                outcomes["passed"] += 1
            elif skipped.get("type") == "pytest.xfail":
                outcomes["failed as a bare library is known to"] += 1
            else:
                outcomes["skipped"] += 1
                self.skips[skipped.get("message", "")] += 1
        inconclusive = Counter(
            name
            for case in cases
            for value in case.iter("property")
            if value.get("name") == "inconclusive"
            for name in (value.get("value") or "").strip("[]").replace("'", "").split(", ")
            if name
        )
        said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "nothing ran"
        return said + "".join(
            f"; {name} inconclusive in {count}" for name, count in sorted(inconclusive.items())
        )


def parts() -> dict[str, Part]:
    """Every part by its name."""
    seeds = "tests/scenarios/test_seeds.py"
    return {
        "long": Part(
            "every mutant, more random outages and seeds, the bare libraries, both clocks",
            ["-m", "long and not bench", "--deselect", seeds],
        ),
        "seeds": Part(
            f"`wan_outage --strict` loses nothing on {SEEDS} consecutive seeds",
            ["-m", "", seeds, "-k", "lost", "--seeds", str(SEEDS)],
        ),
        "shift-seeds": Part(
            f"no criterion is red on {SHIFT_SEEDS} consecutive seeds of `shift_short`",
            ["-m", "", seeds, "-k", "short_shift", "--shift-seeds", str(SHIFT_SEEDS)],
        ),
        "suite-seeds": Part(
            f"each scenario of each suite comes to its verdict on {SUITE_SEEDS} consecutive seeds",
            ["-m", "", seeds, "-k", "shipped", "--suite-seeds", str(SUITE_SEEDS)],
        ),
    }


def page(table: dict[str, Part], begun: datetime, commit: str) -> str:
    """The page; a part that did not run says so."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    facts = {"begun": f"{begun:%Y-%m-%d %H:%M} UTC", "commit": commit, "machine": machine}
    lines = [f"| {name} | {value} |" for name, value in facts.items()]
    lines += ["", "| part | what it holds | result | took |", "|---|---|---|---|"]
    lines += [f"| {name} | {part.title} | {part.result} | {part.took} |" for name, part in table.items()]
    skips = sum((part.skips for part in table.values()), Counter[str]()).most_common(SHOWN_MAX)
    if skips:
        lines += ["", "Skipped:", "", *(f"- {count}: {reason}" for reason, count in skips)]
    failures = [name for part in table.values() for name in part.failures][:SHOWN_MAX]
    if failures:
        lines += ["", f"Failed, the first {SHOWN_MAX} at most:", "", *(f"- `{name}`" for name in failures)]
    return HEAD + "\n".join(lines) + "\n"


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def main(names: list[str]) -> int:
    """Run the parts of those names, or all."""
    table = parts()
    if unknown := sorted(set(names) - set(table)):
        print(f"no part {', '.join(unknown)}; there are {', '.join(table)}", file=sys.stderr)
        return 2
    begun = datetime.now(UTC)
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":!docs/nightly.md")
    commit = _git("rev-parse", "--short", "HEAD") + (" with uncommitted changes" if changed else "")
    failed = False
    with TemporaryDirectory() as folder:
        for name in names or list(table):
            failed |= table[name].run(Path(folder)) != 0
            PAGE.write_text(page(table, begun, commit), encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
