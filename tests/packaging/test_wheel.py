"""What is installed is what is versioned: the wheel's files are the checkout's, no more and no less."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = ("acceptance/", "bridge/", "reports/", "scenarios/", "twin/")


@pytest.mark.slow
def test_the_wheel_holds_exactly_the_versioned_files_of_the_packages(tmp_path):
    listed = subprocess.run(["git", "ls-files", "-z", *SHIPPED], cwd=ROOT, capture_output=True, check=True)
    versioned = {f"shakedown/{name}" for name in listed.stdout.decode().split("\0") if name}
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == versioned


def test_every_package_folder_is_listed():
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        "shakedown." + ".".join(path.parent.relative_to(ROOT).parts)
        for top in SHIPPED
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert found == listed
