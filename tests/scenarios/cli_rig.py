"""The real command line as a process of its own, with a folder for its runs and one for what is temporary."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TIMEOUT_S = 60


class CommandLine:
    """Runs `shakedown ...` in `folder`; `temporary` is its TMPDIR."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.temporary = folder / "work", folder / "temporary"
        self.folder.mkdir()
        self.temporary.mkdir()

    def start(self, *args: str, **options) -> subprocess.Popen:
        environment = os.environ | {"TMPDIR": str(self.temporary), "COLUMNS": "80", "TERM": "xterm"}
        environment |= options.pop("env", {})
        command = [sys.executable, "-c", "from shakedown.scenarios.cli import main; main()", *args]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.folder, env=environment, text=True, **(streams | options))

    def run(self, *args: str, **options) -> subprocess.CompletedProcess:
        with self.start(*args, **options) as process:
            out, err = process.communicate(timeout=TIMEOUT_S)
        return subprocess.CompletedProcess(args, process.returncode, out, err)
