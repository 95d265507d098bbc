"""The command line, called in this process or as a process of its own, with folders for its runs and what is temporary.

It takes seconds to start a process and to import the lab in it; `here` is for what needs no process of its own.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

from shakedown.scenarios.cli import main
from shakedown.scenarios.terminal import ERR, OUT

TIMEOUT_S = 60
WIDTH = 80


class CommandLine:
    """Runs `shakedown ...` in `folder`; `temporary` is its TMPDIR."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.temporary = folder / "work", folder / "temporary"
        self._started: list[subprocess.Popen] = []
        self.folder.mkdir()
        self.temporary.mkdir()
        self.environment = {"TMPDIR": str(self.temporary), "COLUMNS": str(WIDTH), "TERM": "xterm"}

    def start(self, *args: str, **options) -> subprocess.Popen:
        environment = os.environ | self.environment | options.pop("env", {})
        command = [sys.executable, "-c", "from shakedown.scenarios.cli import main; main()", *args]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, **(streams | options)
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """Leave no process behind, whatever became of the test."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()

    def run(self, *args: str, **options) -> subprocess.CompletedProcess:
        with self.start(*args, **options) as process:
            out, err = process.communicate(timeout=TIMEOUT_S)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def here(self, *args: str) -> subprocess.CompletedProcess:
        """What `run` would give, without a process of its own."""
        out, err = io.StringIO(), io.StringIO()
        OUT.width = ERR.width = WIDTH
        with (
            contextlib.chdir(self.folder),
            mock.patch.dict(os.environ, self.environment),
            mock.patch.object(tempfile, "tempdir", str(self.temporary)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main([*args])
            except SystemExit as end:
                return subprocess.CompletedProcess(args, end.code, out.getvalue(), err.getvalue())
        raise AssertionError("main() returned")
