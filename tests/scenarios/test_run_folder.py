"""The run folder: never overwrites, never half, and any later change is found."""

import json

import pytest

from shakedown.scenarios import model, run_folder
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.run_folder import RunFolder, chain_problems, write_chain


@pytest.fixture(scope="module")
def setup():
    return model.set_up(model.find("wan_outage"))


def finished(tmp_path, setup):
    folder = RunFolder(tmp_path / "run")
    folder.ask(setup, seed=3, clock="virtual", broker="embedded", strict=False)
    (folder.path / "ledger.jsonl").write_text("[]\n")
    folder.note(status="complete")
    write_chain(folder.path, ["summary.md"])
    (folder.path / "summary.md").write_text("follows from the others")
    return folder.finish()


def verify(run):
    return chain_problems(run, ["summary.md"])


def test_a_run_has_its_name_only_when_it_is_whole(tmp_path, setup):
    folder = RunFolder(tmp_path / "run")
    folder.ask(setup, seed=3, clock="virtual", broker="embedded", strict=False)
    assert not (tmp_path / "run").exists()
    assert json.loads((tmp_path / "run.partial" / "manifest.json").read_text())["status"] == "running"
    folder.note(status="complete")
    assert folder.finish() == tmp_path / "run"
    assert not (tmp_path / "run.partial").exists()


@pytest.mark.parametrize("taken", ["run", "run.partial"])
def test_a_folder_that_exists_is_never_overwritten(tmp_path, taken):
    (tmp_path / taken).mkdir()
    (tmp_path / taken / "precious").write_text("kept")
    with pytest.raises(UsageError, match=r"exists already.*--out"):
        RunFolder(tmp_path / "run")
    assert (tmp_path / taken / "precious").read_text() == "kept"


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        RunFolder(tmp_path / "file" / "run")


def test_a_discarded_run_leaves_nothing(tmp_path, setup):
    folder = RunFolder(tmp_path / "run")
    folder.ask(setup, seed=3, clock="virtual", broker="embedded", strict=False)
    folder.discard()
    assert list(tmp_path.iterdir()) == []


def test_an_untouched_run_fits_its_chain(tmp_path, setup):
    assert verify(finished(tmp_path, setup)) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda run: (run / "ledger.jsonl").write_text("[1]\n"), "ledger.jsonl was changed"),
        (lambda run: (run / "site.yaml").unlink(), "site.yaml is missing"),
        (lambda run: (run / "extra").write_text(""), "extra is not part of the run"),
        (lambda run: _rewrite(run / "chain.json", "head", "00" * 32), "head does not follow"),
        (lambda run: (run / "chain.json").write_text("{"), "chain.json cannot be read"),
        (lambda run: (run / "summary.md").unlink(), "summary.md is missing"),
    ],
)
def test_every_later_change_is_found(tmp_path, setup, change, found):
    run = finished(tmp_path, setup)
    change(run)
    assert any(found in problem for problem in verify(run))


def _rewrite(file, key, value):
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"no": "format"}'])
def test_a_manifest_that_is_none_is_a_usage_error(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UsageError):
        run_folder.read_manifest(tmp_path)
