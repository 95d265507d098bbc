"""What nobody asked for is not imported: pandas takes as long as the whole command line."""

import subprocess
import sys

import pytest

LOADED = """
import sys
from shakedown.scenarios.cli import main
try:
    main(sys.argv[2:])
finally:
    open(sys.argv[1], "w").write(" ".join(sys.modules))
"""
UNUSED = {"pandas", "pyarrow", "asyncua", "amqtt", "paho", "numpy", "simpy", "jinja2"}
RUN = ["accept", "wan_outage_fast", "--duration", "2", "--out", "run"]
ELSEWHERE = {
    "pandas",
    "pyarrow",
    "pint",
    "ucumvert",
    "pytest",
    "requests",
    "toxiproxy",
    "httpx2",
    "starlette",
    "uvicorn",
}
"""What a run in virtual time without a CMMS does not use."""
LAB = {"simpy", "asyncua", "amqtt", "numpy", "pydantic"}


@pytest.mark.parametrize(
    ("args", "absent"),
    [
        (["--help"], UNUSED),
        (["monitor", "--help"], UNUSED),
        (["bridges", "--help"], UNUSED),
        (["export", "--help"], UNUSED),
        pytest.param(RUN, ELSEWHERE, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_command_does_not_load_what_it_does_not_use(tmp_path, args, absent):
    command = [sys.executable, "-c", LOADED, str(tmp_path / "loaded"), *args]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    loaded = set((tmp_path / "loaded").read_text().split())
    assert "shakedown.scenarios.cli" in loaded
    assert not absent & loaded
    assert (loaded >= LAB) == (args[0] == "accept")
