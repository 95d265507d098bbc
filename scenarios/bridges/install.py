"""Installs what a shipped bridge needs, with exact versions, into a folder of its own; or says what is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from shakedown.scenarios.bridges.model import Install
from shakedown.scenarios.errors import UsageError

TIMEOUT_S = 1800.0  # Telegraf is compiled, which takes minutes on a small machine
STAMP = "installed.json"
_TOOLS = {"npm": "Node.js 20 or newer with npm", "go": "Go 1.25 or newer"}


def bridges_folder() -> Path:
    """Where bridges are installed: SHAKEDOWN_BRIDGES, or a folder of the user's data."""
    if folder := os.environ.get("SHAKEDOWN_BRIDGES"):
        return Path(folder)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "shakedown" / "bridges"


def folder_of(into: str) -> Path:
    """The folder of one installation."""
    return bridges_folder() / into


def missing(install: Install) -> list[str]:
    """What of an installation is not there, in words; empty when it can be used."""
    folder = folder_of(install.into)
    stamp = folder / STAMP
    if not stamp.is_file():
        return [f"{folder} does not hold it"]
    if json.loads(stamp.read_text(encoding="utf-8")) != _wanted(install):
        return [f"{folder} holds other versions"]
    return []


def tools_missing(install: Install) -> list[str]:
    """Tools that its installation needs and this machine lacks."""
    needed = [name for name, wanted in (("npm", install.npm), ("go", install.go)) if wanted]
    return [
        f"{name} is not on the PATH: install {_TOOLS[name]}" for name in needed if shutil.which(name) is None
    ]


def carry_out(install: Install) -> Path:
    """Install, from scratch; returns the folder. Raises UsageError when a tool is missing or fails."""
    if lacks := tools_missing(install):
        raise UsageError(f"{install.into} cannot be installed: {'; '.join(lacks)}.")
    folder = folder_of(install.into)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if install.npm:
        (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": install.npm}))
        _run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], folder)
    if install.pip:
        _run([sys.executable, "-m", "venv", "venv"], folder)
        pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        _run([*pip, "--disable-pip-version-check", *install.pip], folder)
    if install.go is not None:
        tags = ["-tags", ",".join(install.go_tags)] if install.go_tags else []
        _run(["go", "install", *tags, install.go], folder, {"GOBIN": str(folder)})
    (folder / STAMP).write_text(json.dumps(_wanted(install), indent=1) + "\n", encoding="utf-8")
    return folder


def _wanted(install: Install) -> dict[str, object]:
    return {"npm": install.npm, "pip": list(install.pip), "go": install.go, "go_tags": list(install.go_tags)}


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **(environment or {})}, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"{command[0]} did not end within {TIMEOUT_S / 60:g} min in {folder}. Try again."
        ) from None
    if done.returncode:
        last = " / ".join(done.stdout.strip().splitlines()[-5:])
        raise UsageError(
            f"{' '.join(command[:3])} failed in {folder} with exit code {done.returncode}: {last}"
        )
