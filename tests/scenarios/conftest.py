"""Options and helpers of the scenario tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from cli_rig import CommandLine


def pytest_addoption(parser):
    parser.addoption(
        "--seeds", type=int, default=1, help="how many consecutive seeds of wan_outage must lose nothing"
    )
    parser.addoption(
        "--shift-seeds", type=int, default=2, help="how many consecutive seeds of shift_short must not fail"
    )


def pytest_generate_tests(metafunc):
    for fixture, option in (("outage_seed", "--seeds"), ("shift_seed", "--shift-seeds")):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, range(metafunc.config.getoption(option)))


@pytest.fixture
def line(tmp_path):
    """The real command line in a folder of this test."""
    line = CommandLine(tmp_path)
    yield line
    line.end()
