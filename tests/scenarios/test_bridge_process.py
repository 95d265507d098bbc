"""Bridges as they misbehave: each ends in a clear error or a word about its conduct, and leaves no process behind."""

import asyncio
import re
import shutil
import socket
import sys

import psutil
import pytest

from shakedown.scenarios.bridge_process import MARK, BridgeProcess, Launch
from shakedown.scenarios.errors import UsageError

SAYS_READY = "import time, sys; print('ready', flush=True); "
SLEEPS = "time.sleep(60)"


def bridge(folder, code, **more):
    """The bridge that `code` is, ready when it says so."""
    defaults = {"ready_log": re.compile("^ready"), "ready_within_s": 20, "stop_within_s": 20,
                "ready_sign": lambda: "no line matches"}  # fmt: skip
    command = [sys.executable, "-c", code]
    return BridgeProcess(Launch("mine", command, folder / "log", folder / "usage", **(defaults | more)))


def left(runner: BridgeProcess) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == runner._mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def life(runner, *verbs):
    """Start, do `verbs`, stop; the word about its conduct. Nothing is left, however it went."""

    async def run():
        try:
            await runner.start()
            for verb in verbs:
                await verb(runner)
        finally:
            await runner.stop()
            await runner.close()
        return runner.ended_with()

    try:
        return asyncio.run(run())
    finally:
        assert left(runner) == []


async def until_it_ends(runner):
    async with asyncio.timeout(20):
        while runner.is_running():  # noqa: ASYNC110
            await asyncio.sleep(0)


def test_a_bridge_that_stops_when_asked_has_nothing_said_of_it(tmp_path):
    assert life(bridge(tmp_path, SAYS_READY + SLEEPS)) is None
    assert "ready" in (tmp_path / "log").read_text()


def test_a_bridge_that_exits_at_once_is_a_usage_error_with_its_last_words(tmp_path):
    with pytest.raises(UsageError, match=r"ended with exit code 3 before it was ready.*no such broker"):
        life(bridge(tmp_path, "import sys; print('no such broker'); sys.exit(3)"))


def test_a_bridge_that_never_becomes_ready_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"not ready within 0\.5 s: no line matches"):
        life(bridge(tmp_path, "import time; " + SLEEPS, ready_within_s=0.5))


def test_a_command_that_does_not_exist_is_a_usage_error(tmp_path):
    launch = Launch("mine", ["/no/such/command"], tmp_path / "log", tmp_path / "usage")
    with pytest.raises(UsageError, match="/no/such/command: No such file"):
        life(BridgeProcess(launch))


def test_a_bridge_that_ends_later_is_told_with_its_last_words(tmp_path):
    code = SAYS_READY + "print('out of memory', flush=True); sys.exit(137)"
    assert life(bridge(tmp_path, code), until_it_ends) == (
        "its process ended with exit code 137; the last lines of its log: ready / out of memory"
    )


def test_a_bridge_that_ignores_sigterm_is_killed_and_told(tmp_path):
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SAYS_READY + SLEEPS
    ended = life(bridge(tmp_path, code, stop_within_s=0.3))
    assert ended == "it did not end within 0.3 s of SIGTERM, and was killed"


CHILD = (
    "import subprocess, sys; "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True); "
)


def test_children_that_a_bridge_leaves_are_killed_and_told(tmp_path):
    code = (
        CHILD + "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); " + SAYS_READY + SLEEPS
    )
    assert "left 1 processes behind" in life(bridge(tmp_path, code))


@pytest.mark.skipif(shutil.which("setsid") is None, reason="needs setsid of util-linux")
def test_a_child_with_a_session_and_an_environment_of_its_own_is_not_left_behind_either(tmp_path):
    code = (
        "import subprocess; subprocess.Popen(['env', '-i', 'setsid', 'sleep', '60']); " + SAYS_READY + SLEEPS
    )
    assert "left 1 processes behind when stopped (sleep)" in life(bridge(tmp_path, code))


def test_a_kill_takes_the_children_too_even_in_a_session_of_their_own(tmp_path):
    async def killed(runner):
        await runner.kill()
        assert left(runner) == []
        assert not runner.is_running()

    assert life(bridge(tmp_path, CHILD + SAYS_READY + SLEEPS), killed) is None


def test_a_bridge_is_started_again_after_a_kill(tmp_path):
    async def killed(runner):
        await runner.kill()
        await runner.start()
        assert runner.is_running()

    assert life(bridge(tmp_path, SAYS_READY + SLEEPS), killed) is None


SUPERVISOR = f"""
import signal, subprocess, sys
def end(*_):
    child.kill()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
while True:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # so that `end` knows the child that it ends
    child = subprocess.Popen([sys.executable, '-c', {SAYS_READY + SLEEPS!r}])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    child.wait()
"""


def test_a_supervisor_survives_the_kill_and_starts_its_bridge_again(tmp_path):
    async def killed(runner):
        leader = runner._process.pid
        await runner.kill()
        assert not runner.is_running()  # the one that was struck
        await runner.start()
        assert runner._process.pid == leader
        assert runner.is_running()

    assert life(bridge(tmp_path, SUPERVISOR, restarted_by_itself=True), killed) is None


def test_the_log_of_a_bridge_that_never_stops_talking_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("shakedown.scenarios.bridge_process.LOG_BYTES_MAX", 100_000)
    code = "print('x' * 1_000_000, flush=True); " + SAYS_READY + SLEEPS
    assert life(bridge(tmp_path, code)) is None
    assert (tmp_path / "log").stat().st_size == 100_000


def test_a_password_that_a_bridge_prints_is_not_in_its_log_nor_in_its_last_words(tmp_path):
    code = "import sys; print('ready'); print('the password is hunter2', flush=True); sys.exit(3)"
    runner = bridge(tmp_path, code, secrets=["hunter2"])
    assert "the password is ***" in str(life(runner, until_it_ends))
    assert (tmp_path / "log").read_text() == "ready\nthe password is ***\n"


def test_what_the_bridge_costs_is_written_down(tmp_path):
    usage = tmp_path / "usage"

    async def measured(runner):
        async with asyncio.timeout(20):
            while not usage.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0)

    life(bridge(tmp_path, SAYS_READY + SLEEPS), measured)
    assert usage.read_text().startswith('["U",')


def test_what_the_bridge_costs_is_written_down_after_a_restart_too(tmp_path):
    usage = tmp_path / "usage"

    async def restarted(runner):
        await runner.stop()
        before = usage.read_text()
        await runner.start()
        async with asyncio.timeout(20):
            while usage.read_text() == before:  # noqa: ASYNC110
                await asyncio.sleep(0)

    life(bridge(tmp_path, SAYS_READY + SLEEPS), restarted)
    assert [line[:5] for line in usage.read_text().splitlines()].count('["Z",') == 1


def holder(address):
    """A bridge, as far as the lab can see: a process with a connection to the broker."""
    return f"import socket, time; s = socket.create_connection({address!r}); print('ready', flush=True); "


@pytest.fixture
def broker():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()


async def until_it_is_seen(runner):
    async with asyncio.timeout(20):
        while not runner._holders:  # noqa: ASYNC110
            await asyncio.sleep(0)


def supervisor(code):
    return SUPERVISOR.replace(repr(SAYS_READY + SLEEPS), repr(code))


def test_a_kill_that_leaves_the_holder_of_the_session_alive_is_not_taken_for_one(tmp_path, broker):
    async def killed(runner):
        await runner.kill()
        assert runner.is_running()  # a container, say: only what is heard tells

    life(bridge(tmp_path, SAYS_READY + SLEEPS, broker=broker), killed)


def test_what_held_the_session_is_struck_also_while_it_has_none(tmp_path, broker):
    code = holder(broker) + "time.sleep(2); s.close(); " + SLEEPS

    async def killed(runner):
        await until_it_is_seen(runner)
        await runner.kill()
        assert not runner.is_running()

    assert life(bridge(tmp_path, code, broker=broker), killed) is None


def test_a_supervised_bridge_that_dies_unasked_is_seen(tmp_path, broker):
    code = supervisor(holder(broker) + SLEEPS)

    async def dies(runner):
        await until_it_is_seen(runner)
        (process,) = runner._holders
        process.kill()
        async with asyncio.timeout(20):
            while runner.ended_with() is None:  # noqa: ASYNC110
                await asyncio.sleep(0)

    ended = life(bridge(tmp_path, code, restarted_by_itself=True, broker=broker), dies)
    assert ended.startswith("it ended under its supervisor; the last lines of its log: ready")


def test_a_supervised_bridge_that_was_killed_is_not_blamed_for_it(tmp_path, broker):
    code = supervisor(holder(broker) + SLEEPS)

    async def killed(runner):
        await until_it_is_seen(runner)
        await runner.kill()
        assert not runner.is_running()
        await runner.start()
        await until_it_is_seen(runner)

    assert life(bridge(tmp_path, code, restarted_by_itself=True, broker=broker), killed) is None


def test_a_supervisor_that_holds_the_session_itself_is_refused(tmp_path, broker):
    async def killed(runner):
        await until_it_is_seen(runner)
        await runner.kill()

    with pytest.raises(UsageError, match="is not a supervisor: its command holds the MQTT session itself"):
        life(bridge(tmp_path, holder(broker) + SLEEPS, restarted_by_itself=True, broker=broker), killed)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: who adopts orphans is said there alone")
def test_a_child_without_a_parent_and_without_a_mark_is_not_left_behind(tmp_path):
    hidden = "setsid -f env -i sleep 47.11"
    code = f"import subprocess; subprocess.run({hidden!r}.split()); " + SAYS_READY + SLEEPS
    assert "left 1 processes behind when stopped (sleep)" in life(bridge(tmp_path, code))
    assert [p for p in psutil.process_iter(["cmdline"]) if "47.11" in (p.info["cmdline"] or [])] == []
