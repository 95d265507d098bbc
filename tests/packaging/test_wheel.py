"""Two distributions from one tree: each wheel holds what is versioned and needs what it says; the bridge runs alone."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"shakedown-bridge": ("bridge",), "shakedown-lab": ("acceptance", "reports", "scenarios", "twin")}
PLACES = {"shakedown-bridge": ROOT / "bridge", "shakedown-lab": ROOT}
COMES_WITH = {"markupsafe": "jinja2", "pydantic-core": "pydantic"}
OF_THE_CALLER = {"pytest"}  # the plugin is imported by it alone
LAB_ONLY = {
    "shakedown-lab",
    "simpy",
    "pandas",
    "numpy",
    "pytest",
    "amqtt",
    "aiomqtt",
    "time-machine",
    "rich",
    "jinja2",
}


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both wheels, by the name of their distribution, of a copy, without what an earlier build left behind."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    for file in versioned():
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, source / file, follow_symlinks=False)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    subprocess.run([*pip, *(str(source / place.relative_to(ROOT)) for place in PLACES.values())], check=True)
    return {path.name.partition("-")[0].replace("_", "-"): path for path in folder.glob("*.whl")}


def versioned(*folders: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, check=True)
    return [file for file in listed.stdout.decode().split("\0") if file]


def held(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def project(name: str) -> dict[str, Any]:
    return tomllib.loads((PLACES[name] / "pyproject.toml").read_text())


def canonical(requirement: str) -> str:
    """The name of a distribution as an index knows it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


@pytest.mark.slow
def test_each_wheel_holds_exactly_the_versioned_files_of_its_packages(wheels: dict[str, Path]) -> None:
    assert set(wheels) == set(FOLDERS)
    assert not set.intersection(*(held(wheel) for wheel in wheels.values())), "two distributions own one file"
    for name, folders in FOLDERS.items():
        about = {f"shakedown/bridge/{file}" for file in ("LICENSE", "README.md", "pyproject.toml")}
        assert held(wheels[name]) == {f"shakedown/{file}" for file in versioned(*folders)} - about


@pytest.mark.slow
def test_each_wheel_has_the_licence(wheels: dict[str, Path]) -> None:
    for name, wheel in wheels.items():
        text = zipfile.ZipFile(wheel).read(f"{name.replace('-', '_')}-0.1.0.dist-info/licenses/LICENSE")
        assert text == (ROOT / "LICENSE").read_bytes()
        assert b"Apache License" in text


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_bridge_is_installed_and_runs_without_the_lab(wheels: dict[str, Path], tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    programs = tmp_path / "venv" / "bin"
    pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check"]
    constraints = ["-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, "install", "--quiet", *constraints, str(wheels["shakedown-bridge"])], check=True)
    site = tmp_path / "site.yaml"
    site.write_bytes((ROOT / "scenarios" / "plants" / "bottling" / "site.yaml").read_bytes())

    def said(*command: str) -> str:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert "edge node" in said(str(programs / "shakedown-bridge"), "check", "site.yaml")
    installed = {canonical(line) for line in said(*pip, "list", "--format=freeze").splitlines()}
    assert "asyncua" in installed
    assert not installed & LAB_ONLY
    everything = "import shakedown.bridge.app, shakedown.bridge.south.opcua, sys; print(*sys.modules)"
    loaded = said(str(programs / "python"), "-c", everything).split()
    packages = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("shakedown.")}
    assert packages == {"shakedown.bridge"}


@pytest.mark.parametrize("name", FOLDERS)
def test_every_package_folder_is_listed(name: str) -> None:
    found = {
        ".".join(("shakedown", *path.parent.relative_to(ROOT).parts))
        for top in FOLDERS[name]
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(project(name)["tool"]["setuptools"]["packages"]) == found


@pytest.mark.parametrize("name", FOLDERS)
def test_a_distribution_needs_what_it_imports_and_nothing_else(name: str) -> None:
    provided = packages_distributions()
    files = [path for top in FOLDERS[name] for path in (ROOT / top).rglob("*.py")]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    tops = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names) - {"shakedown"}
    tops -= {"google"}  # a namespace of many
    needed = {canonical(provided[top][0]) for top in tops}
    needed |= {"protobuf"} if any(module.startswith("google.protobuf") for module in modules) else set()
    needed |= {"shakedown-bridge"} if name == "shakedown-lab" else set()
    declared = {canonical(requirement) for requirement in project(name)["project"]["dependencies"]}
    assert needed - COMES_WITH.keys() - OF_THE_CALLER == declared


def test_the_lab_needs_the_bridge_of_its_own_version() -> None:
    version = project("shakedown-bridge")["project"]["version"]
    lab = project("shakedown-lab")["project"]
    assert (lab["version"], f"shakedown-bridge=={version}" in lab["dependencies"]) == (version, True)
