"""The pytest plugin: options, a marker and fixtures for acceptance tests of one's own plant, scenario or bridge.

It is loaded by every pytest of its environment, so it imports nothing but pytest; the lab is imported by the first test
that runs a scenario (testing.py). docs/ci.md shows how it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from shakedown.scenarios.testing import AcceptedRun, Lab

MARKER = (
    "shakedown(scenario, *, seed=0, strict=False, bridge='ours', clock=None, broker='embedded', duration_s=None): "
    "the run that the fixture shakedown_run gives; a scenario file is looked for beside the test first"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """What the command line says holds for every run, whatever a test asks for."""
    group = parser.getgroup("shakedown", "acceptance of IT/OT bridges (shakedown)")
    group.addoption("--shakedown-seed", type=int, metavar="N", help="seed of every run")
    group.addoption("--shakedown-strict", action="store_true", help="no run may lose a single sample")
    group.addoption("--shakedown-bridge", metavar="BRIDGE", help="the bridge that every run judges")
    group.addoption("--shakedown-clock", metavar="virtual|wall|xN", help="the clock of every run")
    group.addoption("--shakedown-out", metavar="DIR",
                    help="where run folders go and stay  [default: pytest's temporary folder]")  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", MARKER)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test that asserts on a criterion that does not exist before its run, which takes a while."""
    if isinstance(item, pytest.Function) and "shakedown" in item.fixturenames:
        from shakedown.scenarios.testing import check_names

        check_names(item.function)


@pytest.fixture(scope="session")
def shakedown(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Runs scenarios: `shakedown.accept("scenario.yaml")`. The same run asked for twice is made once."""
    from shakedown.scenarios.testing import Lab

    return Lab.of(pytestconfig, tmp_path_factory)


@pytest.fixture
def shakedown_run(request: pytest.FixtureRequest, shakedown: Lab) -> AcceptedRun:
    """The finished run of the test's marker `shakedown`; tests with the same marker share it."""
    marker = request.node.get_closest_marker("shakedown")
    if marker is None:
        pytest.fail('shakedown_run needs to know which: mark the test with @pytest.mark.shakedown("SCENARIO")',
                    pytrace=False)  # fmt: skip
    run = shakedown.accept(*marker.args, beside=request.path.parent, **marker.kwargs)
    request.node.user_properties.append(("shakedown_report", str(run.report)))
    return run
