"""Where the CPU time of a run goes, by component and by package: `python tests/bench/where_time_goes.py [SCENARIO]`.

A sample is taken at every tick of the process's CPU clock (1 to 4 ms, as the system has it). It belongs to the host
whose task is running, and to the innermost package on the stack that is not Python's own. The first run pays what a
process pays once; the figures per value are of the runs after it.
"""

from __future__ import annotations

import gc
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import FrameType

RUNS = 4

Key = tuple[str, str]


class Sampler:
    """Counts stacks between `start` and `stop`; the collector's time is measured, not sampled."""

    def __init__(self) -> None:
        self.samples: Counter[Key] = Counter()
        self.collector_s = 0.0
        self._collecting_since = 0.0

    def start(self) -> None:
        self.began_s = time.process_time()
        gc.callbacks.append(self._on_collector)
        signal.signal(signal.SIGPROF, self._on_tick)
        signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        gc.callbacks.remove(self._on_collector)
        self.took_s = time.process_time() - self.began_s

    def _on_collector(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since = time.process_time()
        else:
            self.collector_s += time.process_time() - self._collecting_since

    def _on_tick(self, _number: int, frame: FrameType | None) -> None:
        package, phase = "", ""
        while frame is not None:
            file, function = frame.f_code.co_filename, frame.f_code.co_name
            package = package or _package(file)
            phase = phase or PHASES.get((Path(file).name, function), "")
            if file.startswith("<frozen importlib"):
                phase = "imports"
            frame = frame.f_back
        self.samples[phase or _host(), package or "Python"] += 1


PHASES = {
    ("model.py", "set_up"): "configuration and units",
    ("standard_nodes.py", "__init__"): "OPC UA's standard nodes",
    ("judging.py", "judge"): "judge",
    ("__init__.py", "render"): "reports",
    ("run_folder.py", "finish"): "run folder",
}
"""What is no host's task."""

OWN = re.compile(
    r"/(twin/(?:line|servers|enterprise|network|clock)|bridge/(?:core|south|north)|twin|bridge|scenarios|acceptance|reports)/"
)


def _package(file: str) -> str:
    if "/site-packages/" in file:
        return file.split("/site-packages/")[1].split("/")[0].removesuffix(".py")
    own = OWN.findall(file)
    return own[-1] if own else ""


def _host() -> str:
    model = sys.modules.get("shakedown.twin.network.model")
    host = model.current_host.get() if model else None
    return f"host {host.name}" if host else "rig"


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "wan_outage"
    first, later, values = Sampler(), Sampler(), 0
    with tempfile.TemporaryDirectory() as folder:
        first.start()
        from rich.console import Console

        from shakedown.scenarios import cli, model  # noqa: F401 - all that a command loads
        from shakedown.scenarios.runner import Request, accept

        setup = model.set_up(model.find(name))
        accept(Request(setup, Path(folder) / "first"), Console(quiet=True))
        first.stop()
        later.start()
        for number in range(RUNS):
            outcome = accept(Request(setup, Path(folder) / str(number)), Console(quiet=True))
            values += outcome.verdict.counts["offered"]
        later.stop()
    print(f"first run, all that a process does once included: {first.took_s:.2f} s CPU; "
          f"{RUNS} more: {later.took_s / RUNS:.2f} s each, {1e6 * later.took_s / values:.1f} us a value")  # fmt: skip
    print(
        f"of it the garbage collector: {first.collector_s:.2f} s, then {later.collector_s / RUNS:.2f} s each"
    )
    show("once in a process", first, {key for key in first.samples if not later.samples[key]}, 1, 0)
    show("every run", later, set(later.samples), RUNS, values)


def show(title: str, sampler: Sampler, keys: set[Key], runs: int, values: int) -> None:
    """Components by their share, and the packages of each that matter."""
    tick_s = sampler.took_s / sampler.samples.total()
    components: Counter[str] = Counter()
    for key in keys:
        components[key[0]] += sampler.samples[key]
    print(f"\n{title:<44} {'ms a run':>9}  us a value")
    for component, count in components.most_common():
        if count * tick_s / runs < 0.005:
            continue
        print(_line(component, count * tick_s, runs, values))
        packages = Counter({key[1]: sampler.samples[key] for key in keys if key[0] == component})
        for package, part in packages.most_common():
            if part * tick_s / runs >= 0.02:
                print(_line(f"    {package}", part * tick_s, runs, values))


def _line(name: str, spent_s: float, runs: int, values: int) -> str:
    per_value = f"{1e6 * spent_s / values:11.2f}" if values else ""
    return f"{name:<44} {1e3 * spent_s / runs:9.0f}{per_value}"


if __name__ == "__main__":
    main()
