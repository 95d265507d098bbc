"""`shakedown export`: both formats hold the frames, nothing is overwritten, nothing half is left behind."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from shakedown.reports.frames import Run
from shakedown.scenarios import export_command, model
from shakedown.scenarios.runner import Request, accept
from tests.scenarios.test_suites import QUIET

NAMES = ("samples", "alarms", "orders", "shifts")
WITHOUT = "import sys; sys.modules['pyarrow'] = None; from shakedown.scenarios.cli import main; main()"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run that nobody may change."""
    setup = model.shortened(model.set_up(model.find("wan_outage_fast")), 20)
    return accept(Request(setup, tmp_path_factory.mktemp("export") / "run"), QUIET).folder


@pytest.mark.parametrize(("kind", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_the_files_hold_the_frames(line, run, kind, read):
    found = line.here("export", str(run), f"--{kind}", "--out", "data")
    assert found.returncode == 0
    files = {path.name for path in (line.folder / "data").iterdir()}
    assert files - {"columns.json"} == {f"{name}.{kind}" for name in NAMES}
    for name, frame in Run(run).frames().items():
        written = read(line.folder / "data" / f"{name}.{kind}")
        assert list(written) == list(frame)
        assert len(written) == len(frame)
        if kind == "csv":
            types = json.loads((line.folder / "data" / "columns.json").read_text())
            written = written.astype(types[name])
            assert written.dtypes.astype(str).to_dict() == frame.dtypes.astype(str).to_dict()
            assert written.select_dtypes("datetimetz").equals(frame.select_dtypes("datetimetz"))
        else:
            pd.testing.assert_frame_equal(written, frame)
    assert line.here("verify", str(run)).returncode == 0


def test_nothing_is_overwritten(line, run):
    (line.folder / "data").mkdir()
    found = line.here("export", str(run), "--csv", "--out", "data")
    assert found.returncode == 2
    assert "nothing is overwritten" in found.stderr
    assert list((line.folder / "data").iterdir()) == []


def test_what_fails_half_way_leaves_nothing(line, run, monkeypatch):
    def full(frame, path):
        path.write_text("half")
        if path.stem == "orders":
            raise OSError(28, "No space left on device", str(path))

    monkeypatch.setitem(export_command.WRITERS, "csv", full)
    found = line.here("export", str(run), "--csv", "--out", "data")
    assert found.returncode == 2
    assert "No space left" in found.stderr
    assert list(line.folder.iterdir()) == []


def test_the_default_place_is_beside_the_run(line, run):
    assert line.here("export", str(run), "--csv").returncode == 0
    assert (run.parent / "run-csv" / "samples.csv").is_file()


@pytest.mark.parametrize(
    ("args", "words"),
    [(["absent", "--csv"], "not a run folder"), (["absent"], "Which format"), ([], "Missing argument")],
)
def test_bad_usage_is_refused(line, args, words):
    found = line.here("export", *args)
    assert found.returncode == 2
    assert words in found.stderr
    assert list(line.folder.iterdir()) == []


@pytest.mark.slow
def test_without_pyarrow_the_remedy_is_named(run, tmp_path):
    command = [
        sys.executable,
        "-c",
        WITHOUT,
        "export",
        str(run),
        "--parquet",
        "--out",
        str(tmp_path / "data"),
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "pip install pyarrow" in found.stderr
    csv = [*command[:-3], "--csv", "--out", str(tmp_path / "data")]
    assert subprocess.run(csv, capture_output=True, check=False).returncode == 0
