"""From the first port to the last file: what a serving leaves, whichever way it ends."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from shakedown.twin.enterprise.errors import LabServiceError
from shakedown.twin.ledger import LedgerError
from shakedown.twin.web.endpoints import Endpoints
from shakedown.twin.web.plant_server import PlantServer
from shakedown.twin.web.serve import Serving, serve
from tests.twin.http_lab import ask
from tests.twin.serve_rig import Desk, names_in, on_a_host, plant, served


def test_the_endpoints_file_is_there_while_it_serves(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.json"

    async def script(desk: Desk) -> None:
        assert Endpoints.model_validate_json(path.read_bytes()) == desk.endpoints
        assert names_in(tmp_path) == [path.name]

    served(script, endpoints=path)
    assert names_in(tmp_path) == []


def test_the_endpoints_file_of_a_killed_process_is_replaced_and_that_of_another_left(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.json"
    path.write_text("{}")

    async def script(desk: Desk) -> None:
        told = json.loads(path.read_text())
        assert told["http"] == desk.endpoints.http
        path.write_text(json.dumps(told | {"pid": told["pid"] + 1}))

    served(script, endpoints=path)
    assert path.exists()


def test_a_cmms_is_served_too_and_is_gone_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def script(desk: Desk) -> None:
        assert desk.endpoints.cmms is not None
        port = int(desk.endpoints.cmms.rpartition(":")[2])
        assert (await ask(port, "GET", "/work-orders")).json == []
        await asyncio.sleep(1)
        (assignment,) = (await ask(port, "GET", "/assignments")).json
        assert (assignment["equipment"], assignment["physical_asset"]) == ("HAM-FILLER", "KR-1")
        assert len(names_in(tmp_path)) == 1

    served(script, cmms_port=0)
    assert names_in(tmp_path) == []


def test_the_same_seed_gives_the_same_ledger(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await asyncio.sleep(30)

    written = []
    for name in ("first", "second"):
        served(script, seed=7, ledger=tmp_path / name)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert json.loads(written[0].splitlines()[-1])[0] == "Z"


async def never(desk: Desk) -> None:
    raise AssertionError("it must not serve")


def test_a_ledger_that_exists_is_not_touched_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text("kept")
    with pytest.raises(LedgerError, match="exists already"):
        served(never, ledger=path, endpoints=tmp_path / "endpoints.json")
    assert path.read_text() == "kept"
    assert names_in(tmp_path) == [path.name]


@pytest.mark.parametrize("option", ["port", "http_port", "cmms_port"])
def test_a_port_that_is_taken_is_named_with_the_remedy(option: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        taken = {option: desk.port, "ledger": tmp_path / "ledger.jsonl"}
        with pytest.raises(
            LabServiceError, match=rf"{desk.port}.*another --{option.replace('_', '-')}, or 0"
        ):
            await serve_again(taken)
        assert names_in(tmp_path) == []
        await desk.get("/truth")

    served(script)


async def serve_again(asked: dict[str, Any]) -> None:
    await serve(Serving(plant(), **asked), lambda _: None)


def test_endpoints_that_cannot_be_written_end_it_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(LabServiceError, match=r"nowhere.*cannot be written.*--endpoints"):
        served(never, endpoints=tmp_path / "nowhere" / "endpoints.json")


def test_a_line_that_fails_ends_the_serving_and_leaves_an_incomplete_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail_later(self: PlantServer) -> None:
        await asyncio.sleep(5)
        raise LabServiceError("the server is behind the line")

    monkeypatch.setattr(PlantServer, "publish", fail_later)
    path = tmp_path / "ledger.jsonl"

    with pytest.raises(LabServiceError, match="behind the line"):
        on_a_host(serve_again({"ledger": path, "endpoints": tmp_path / "endpoints.json"}))
    assert names_in(tmp_path) == [path.name]
    assert json.loads(path.read_text().splitlines()[-1])[0] != "Z"
