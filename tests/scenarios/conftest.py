"""Options and helpers of the scenario tests."""

import sys
from importlib import metadata
from pathlib import Path

import pytest

from shakedown.scenarios.parts import table

sys.path.insert(0, str(Path(__file__).parent))
from cli_rig import CommandLine


def pytest_addoption(parser):
    parser.addoption(
        "--seeds", type=int, default=1, help="how many consecutive seeds of wan_outage must lose nothing"
    )
    parser.addoption(
        "--shift-seeds", type=int, default=2, help="how many consecutive seeds of shift_short must not fail"
    )
    parser.addoption(
        "--suite-seeds",
        type=int,
        default=1,
        help="how many seeds of each scenario of each suite come to a verdict",
    )


def pytest_generate_tests(metafunc):
    for fixture, option in (
        ("outage_seed", "--seeds"),
        ("shift_seed", "--shift-seeds"),
        ("suite_seed", "--suite-seeds"),
    ):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, range(metafunc.config.getoption(option)))


@pytest.fixture
def line(tmp_path):
    """The real command line in a folder of this test."""
    line = CommandLine(tmp_path)
    yield line
    line.end()


@pytest.fixture
def plugged_in(monkeypatch):
    """`plugged_in(group, name="module:Class")`: as if an installed package had declared these entry points."""
    found = []

    def entry_points(**wanted):
        return [entry for entry in found if entry.group == wanted["group"]]

    def declare(group, **entries):
        found.extend(metadata.EntryPoint(name, value, group) for name, value in entries.items())
        table.kinds.cache_clear()

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    yield declare
    table.kinds.cache_clear()
