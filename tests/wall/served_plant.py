"""`shakedown twin serve` as a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

READY_S, STOP_S = 60, 20
COMMAND = (sys.executable, "-c", "from shakedown.scenarios.cli import main; main()", "twin", "serve")


class ServedPlant:
    """A process that serves a plant; `endpoints` once it does."""

    def __init__(
        self, folder: Path, *arguments: str, plant: str = "bottling", port: int = 0, http_port: int = 0
    ) -> None:
        self.folder = folder
        self.file = folder / "endpoints.json"
        ports = ("--port", str(port), "--http-port", str(http_port))
        self.process = subprocess.Popen(
            [*COMMAND, plant, *ports, "--endpoints", str(self.file), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=folder,
            env=os.environ | {"TMPDIR": str(folder)},
        )
        self.endpoints: dict[str, Any] = {}

    def ready(self) -> None:
        """Wait until it serves: the last line that it says of it has come."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("Ctrl-C"):
                self.endpoints = json.loads(self.file.read_text())
                return
        raise AssertionError(self.process.communicate(timeout=STOP_S)[1])

    def ask(self, method: str, target: str) -> Any:
        request = urllib.request.Request(self.endpoints["http"] + target, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send the signal; the exit code and what it said on standard error."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """Wait for its end; the exit code and what it said on standard error. One that does not end is killed."""
        try:
            error = self.process.communicate(timeout=READY_S)[1]
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode, error


@contextlib.contextmanager
def serving(folder: Path, *arguments: str, **more: Any) -> Iterator[ServedPlant]:
    """A process that serves; it is gone afterwards, however it came about."""
    served = ServedPlant(folder, *arguments, **more)
    try:
        served.ready()
        yield served
    finally:
        served.process.kill()
        served.process.wait()
        for stream in (served.process.stdout, served.process.stderr):
            if stream is not None:
                stream.close()
