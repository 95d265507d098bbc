"""The command line while a run goes on: interrupted, killed, watched on a terminal, piped."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from cli_rig import TIMEOUT_S, CommandLine

from shakedown.scenarios import model
from shakedown.scenarios.scratch import scratch_in


def wait_for(condition, process):
    """Poll until `condition()`; the process must not end before."""
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)


def children(process):
    return psutil.Process(process.pid).children(recursive=True)


def assert_gone(line, processes):
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []
    assert list(line.folder.iterdir()) == []
    assert list(line.temporary.iterdir()) == []


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=[pytest.mark.slow, pytest.mark.long]),
    ],
)
def test_an_interrupted_virtual_run_leaves_nothing(line, number):
    process = line.start("accept", "wan_outage", "--clock", "x1", "--out", "run")
    ledger = line.folder / "run.partial" / "ledger.jsonl"
    wait_for(ledger.exists, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (130, "")
    *progress, last = filter(None, err.splitlines())
    assert last == "interrupted: everything was taken down, and nothing of this run was kept"
    assert all(line.startswith("wan_outage  ") for line in progress)
    assert_gone(line, [])


def bridge_is_there(process):
    return lambda: any("shakedown.bridge" in " ".join(child.cmdline()) for child in children(process))


INTERRUPTED_AT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == {!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from shakedown.scenarios.entry import main
main()
"""


@pytest.mark.parametrize(
    "module", ["click", "shakedown.scenarios.accept_command", "shakedown.scenarios.runner"]
)
def test_who_interrupts_while_it_is_still_imported_sees_no_traceback(line, module):
    command = [sys.executable, "-c", INTERRUPTED_AT.format(module), "accept", "wan_outage", "--out", "run"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=line.folder, check=False)
    assert (ended.returncode, ended.stdout) == (130, "")
    assert re.fullmatch(r"\n?interrupted: .*\n", ended.stderr)


HOLDS = """
import sys, time
from pathlib import Path
from shakedown.scenarios.scratch import scratch_in
with scratch_in(Path(sys.argv[1])) as folder:
    (folder / "journal.sqlite").write_text("")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_run_left_is_removed_by_the_next_one_and_what_goes_on_is_not(tmp_path):
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    killed, lives = (subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2))
    left, used = (Path(process.stdout.readline().strip()) for process in (killed, lives))
    try:
        killed.kill()
        killed.communicate()
        assert left.is_dir()
        with scratch_in(tmp_path) as folder:
            assert {path.name for path in tmp_path.iterdir()} == {used.name, folder.name}
    finally:
        lives.kill()
        lives.communicate()


@pytest.mark.wall
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_wall_run_leaves_no_process_and_no_file(line, number, times):
    process = line.start("accept", "wan_outage_fast", "--clock", "wall", "--out", "run")
    wait_for(bridge_is_there(process), process)
    started = children(process)
    assert len(started) >= 2  # bridge and proxies
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.05)  # how fast a person is
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert_gone(line, started)


@pytest.mark.wall
@pytest.mark.skipif(
    sys.platform != "linux", reason="the kernel ends the children of a killed process on Linux only"
)
def test_a_killed_wall_run_leaves_no_process_and_no_verdict(line):
    process = line.start("accept", "wan_outage_fast", "--clock", "wall", "--out", "run")
    wait_for(bridge_is_there(process), process)
    started = children(process)
    process.kill()
    process.communicate(timeout=TIMEOUT_S)
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []
    assert not (line.folder / "run").exists()
    assert json.loads((line.folder / "run.partial" / "manifest.json").read_text())["status"] == "running"
    refused = line.run("replay", "run.partial")
    assert (refused.returncode, "only a complete run" in refused.stderr) == (2, True)
    again = line.run("accept", "--out", "run")
    assert (again.returncode, "rm -r run.partial" in again.stderr) == (2, True)


def on_a_terminal(line, *args, **env):
    """Exit code and everything that a terminal was sent."""
    leader, follower = pty.openpty()
    process = line.start(*args, stdout=follower, stderr=follower, env=env)
    os.close(follower)
    shown = b""
    while True:
        try:
            shown += os.read(leader, 65_536)
        except OSError:  # Linux says so when the other end has closed
            break
    os.close(leader)
    return process.wait(timeout=TIMEOUT_S), shown.decode()


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """The command line, and exit code and output of a run on a terminal."""
    line = CommandLine(tmp_path_factory.mktemp("watched"))
    return line, *on_a_terminal(line, "accept", "wan_outage", "--duration", "30", "--out", "run")


@pytest.mark.slow
def test_a_terminal_sees_how_far_the_run_is_and_then_the_verdict_alone(watched):
    _, code, shown = watched
    assert code == 3
    assert "backlog" in shown
    assert "x real time" in shown
    last = shown[shown.rindex("x real time") :]
    assert "\x1b[2K" in last  # the line is cleared
    assert "report  run/report.html" in shown
    assert "repeat  shakedown replay run" in shown
    assert "\x1b[" in last.split("report  ")[0].split("wan_outage, seed 0")[1]


@pytest.mark.slow
def test_no_color_is_honoured(line):
    _, shown = on_a_terminal(line, "accept", "wan_outage", "--duration", "10", "--out", "run", NO_COLOR="1")
    verdicts = shown[shown.index("wan_outage, seed 0") :]
    assert not any(f"\x1b[{colour}" in verdicts for colour in (30, 31, 32, 33, 34, 35, 36, 37))


def test_a_run_that_is_watched_and_one_that_is_not_are_the_same(watched):
    line, *_ = watched
    assert line.here("replay", "run").returncode == 0


def test_a_pipe_gets_one_line_a_criterion_and_nothing_else(line):
    result = line.here("accept", "wan_outage", "--duration", "30", "--out", "run")
    assert result.returncode == 3
    assert all(
        row.startswith("wan_outage  ") for row in result.stderr.splitlines()
    )  # how far it is, each minute
    assert "\x1b" not in result.stdout
    rows = [
        row
        for row in result.stdout.splitlines()
        if row.startswith(("PASS ", "INCONCLUSIVE ", "NOT_APPLICABLE "))
    ]
    assert [row.split("  ")[0] for row in rows][:3] == ["PASS", "INCONCLUSIVE", "NOT_APPLICABLE"]
    assert any("Integrity of what arrived" in row and row.startswith("PASS") for row in rows)
    assert len(rows) == 5
    assert all(row == row.rstrip() and len(row.split("  ")) == 4 for row in rows)
    assert "it needs" in result.stdout


@pytest.mark.slow
def test_a_reader_that_leaves_early_does_not_change_the_exit_code(line):
    reading, writing = os.pipe()
    os.close(reading)
    result = line.run("accept", "wan_outage", "--duration", "10", "--out", "run", stdout=writing)
    os.close(writing)
    assert result.returncode == 3
    assert all(row.startswith("wan_outage  ") for row in result.stderr.splitlines())


COMMANDS = ([], ["accept"], ["list"], ["replay"], ["verify"], ["schema"], ["bridge"], ["bridge", "run"])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_has_an_example_and_fits_80_columns(line, command):
    result = line.here(*command, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert "Example" in result.stdout
    assert "  shakedown " in result.stdout or "  shakedown-bridge " in result.stdout
    examples = result.stdout.split("Example")[1].splitlines()
    assert [text for text in result.stdout.splitlines() if len(text) > 80 and text not in examples] == []


def test_an_uncaught_exception_is_a_harness_fault(line, monkeypatch):
    monkeypatch.setattr(model, "find", lambda name: 1 / 0)
    result = line.here("accept")
    assert result.returncode == 4
    assert "a defect of Shakedown itself, not of the bridge under test" in result.stderr
    assert "ZeroDivisionError" in result.stderr
