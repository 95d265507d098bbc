"""The HTTP interface of a served plant: it tells the truth, sets off upsets, and says what is wrong with a request."""

from __future__ import annotations

import asyncio
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from shakedown.twin.web import api, state
from shakedown.twin.web.overview import overview
from tests.twin.http_lab import parse
from tests.twin.serve_rig import UPSETS, Desk, plant, served


def test_every_operation_is_described_and_answers_as_described() -> None:
    async def script(desk: Desk) -> None:
        await asyncio.sleep(20)
        described = await desk.get("/openapi.json")
        assert described["openapi"].startswith("3.1")
        operations = api.TwinApi(plant(), 1).operations
        told = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
        assert told == {(operation.method, operation.path) for operation in operations}
        for operation in operations:
            if operation.method != "GET":
                continue
            answer = await desk.ask("GET", operation.path)
            assert answer.status == operation.status, operation.path
            assert answer.headers["content-type"].startswith(operation.gives)
            if operation.answer is not None:
                for item in answer.json if operation.is_list else [answer.json]:
                    operation.answer.model_validate(item)
        references = json.dumps(described).split('"#/components/schemas/')[1:]
        for name in {reference.split('"')[0] for reference in references}:
            assert name in described["components"]["schemas"]

    served(script)


def test_the_plant_and_its_drawing() -> None:
    async def script(desk: Desk) -> None:
        told = await desk.get("/plant")
        assert told["plant"] == overview(plant()).model_dump(mode="json")
        assert told["seed"] == 1
        assert told["endpoints"] == desk.endpoints.model_dump(mode="json")
        drawing = (await desk.ask("GET", "/drawing.svg")).body.decode()
        assert ET.fromstring(drawing).tag.endswith("svg")

    served(script)


def test_signals_are_those_of_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"

    async def script(desk: Desk) -> Any:
        await desk.post("/upsets/vibration_stuck")
        await asyncio.sleep(60.5)
        return await desk.get("/signals")

    signals = served(script, ledger=path)
    header, *rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows[-1][0] == "Z"
    latest = {row[2]: row for row in rows if row[0] == "S"}
    assert [signal["node_id"] for signal in signals] == [signal["node_id"] for signal in header["signals"]]
    assert [signal["name"] for signal in signals] == list(plant().each_signal_named())
    for index, signal in enumerate(signals):
        _, ns, _, value, status = latest[index]
        assert (signal["ts_ms"], signal["value"], signal["status"]) == (ns // 1_000_000, value, status)


def test_a_signal_that_is_bad_or_silent_says_so() -> None:
    dropped = {"kind": "drop_out", "at_s": [0], "lasts_s": 20}
    upsets = {
        "silent": {**dropped, "signals": ["filler.vibration"], "status": "silent"},
        "bad": {**dropped, "signals": ["filler.temperature"], "status": "BadNotConnected"},
    }

    async def script(desk: Desk) -> None:
        await asyncio.sleep(5)
        shown = {signal["name"]: signal for signal in await desk.get("/signals")}
        silent, bad = shown["filler.vibration"], shown["filler.temperature"]
        assert (silent["value"], silent["status_name"], silent["ts_ms"]) == (
            None,
            "BadWaitingForInitialData",
            None,
        )
        assert (bad["value"], bad["status_name"]) == (None, "BadNotConnected")
        assert shown["packer.pressure"]["status_name"] == "Good"
        await asyncio.sleep(20)
        assert {signal["status_name"] for signal in await desk.get("/signals")} == {"Good"}

    served(script, upsets=upsets)


def test_bottles_are_conserved_and_counters_agree() -> None:
    async def script(desk: Desk) -> None:
        for _ in range(10):
            await asyncio.sleep(17.3)
            truth = state.Truth.model_validate(await desk.get("/truth"))
            bottles = truth.bottles
            assert bottles.entered == bottles.left + bottles.rejected + bottles.on_the_line
            assert bottles.entered > 0
        filler = truth.machines[0]
        assert (filler.name, filler.state_name) == ("filler", "execute")
        assert filler.total == filler.good + filler.reject
        assert truth.running_s == pytest.approx(173, abs=0.5)

    served(script)


def test_a_sensor_upset_is_in_force_as_long_as_it_lasts() -> None:
    async def script(desk: Desk) -> None:
        await asyncio.sleep(5)
        known = {upset["id"]: upset for upset in await desk.get("/upsets")}
        assert list(known) == list(UPSETS)
        assert not any(upset["in_force"] for upset in known.values())
        await desk.post("/upsets/vibration_stuck")
        await asyncio.sleep(1)
        upset = next(u for u in await desk.get("/upsets") if u["id"] == "vibration_stuck")
        assert upset["in_force"]
        (event,) = await desk.get("/ledger?kind=upset")
        assert upset["in_force_since_ms"] == event["ts_ms"]
        assert (event["machine"], event["data"]["phase"]) == ("filler", "start")
        await desk.post("/upsets/vibration_stuck")  # goes on as it is
        await asyncio.sleep(35)
        upset = next(u for u in await desk.get("/upsets") if u["id"] == "vibration_stuck")
        assert not upset["in_force"]
        assert [e["data"]["phase"] for e in await desk.get("/ledger?kind=upset")] == ["start", "end"]
        later = await desk.get(f"/ledger?kind=upset&after={event['number']}")
        assert [e["data"]["phase"] for e in later] == ["end"]

    served(script)


def test_a_machine_upset_is_a_fault_until_it_is_repaired() -> None:
    async def script(desk: Desk) -> None:
        await desk.post("/upsets/filler_wears")
        await asyncio.sleep(3)
        (fault,) = (await desk.get("/truth"))["open_faults"]
        assert (fault["machine"], fault["mode"], fault["needs_crew"]) == ("filler", "wear", True)
        upset = next(u for u in await desk.get("/upsets") if u["id"] == "filler_wears")
        assert (upset["in_force"], upset["concerns"]) == (True, ["filler: wear"])
        assert (await desk.post(f"/faults/{fault['id']}/repair"))["id"] == fault["id"]
        await asyncio.sleep(0.1)
        assert (await desk.get("/truth"))["open_faults"] == []
        again = await desk.ask("POST", f"/faults/{fault['id']}/repair")
        assert again.status == 404
        assert "open now: none" in again.json["detail"]

    served(script)


def test_a_machine_that_stands_says_why_in_words() -> None:
    async def script(desk: Desk) -> None:
        await desk.post("/upsets/filler_jams")
        await asyncio.sleep(20)
        filler, packer = (await desk.get("/truth"))["machines"]
        assert (filler["state_name"], filler["stop_reason"], filler["stop_cause"]) == (
            "aborted",
            200,
            "broken",
        )
        assert (packer["stop_reason"], packer["stop_cause"]) in ((1, "starved"), (4, "no order"))

    served(script)


def test_a_trip_concerns_the_machine_and_the_signals() -> None:
    async def script(desk: Desk) -> None:
        upset = (await desk.post("/upsets/all_run_away"))["concerns"]
        assert upset == ["filler: trip", "filler.temperature", "packer.pressure"]

    served(script)


@pytest.mark.parametrize(
    ("method", "target", "status", "words"),
    [
        ("POST", "/upsets/nope", 404, "this plant has: vibration_stuck"),
        ("POST", "/upsets/%00%0a", 404, "there is no upset"),
        ("POST", "/faults/F0001/repair", 404, "GET /truth"),
        ("GET", "/nothing", 404, "/openapi.json"),
        ("GET", "/signals/", 404, "/openapi.json"),
        ("DELETE", "/upsets", 405, "DELETE is not for /upsets"),
        ("GET", "/upsets/vibration_stuck", 405, "GET is not for"),
        ("GET", "/ledger?limit=-1", 400, "limit is '-1'; give a whole number from 0 to 1000"),
        ("GET", "/ledger?limit=1001", 400, "from 0 to 1000"),
        ("GET", "/ledger?limit=%D9%A3", 400, "a whole number"),
        ("GET", "/ledger?after=99999999999999999999", 400, "after is"),
        ("GET", "/ledger?count=3", 400, "known here: limit, kind, after"),
        ("GET", "/truth?x=1", 400, "known here: none"),
    ],
)
def test_a_request_that_cannot_be_says_why(method: str, target: str, status: int, words: str) -> None:
    async def script(desk: Desk) -> None:
        answer = await desk.ask(method, target)
        assert answer.status == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json["status"] == status
        assert words in answer.json["detail"]

    served(script)


def test_a_page_under_a_name_of_its_own_is_refused() -> None:
    async def script(desk: Desk) -> None:
        for host, status in (("evil.example", 421), ("localhost:1", 200)):
            reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
            writer.write(f"GET /upsets HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert parse(await reader.read(-1)).status == status
            writer.close()

    served(script)


def test_a_body_is_bounded_in_size_and_time() -> None:
    async def script(desk: Desk) -> None:
        answer = await desk.ask("POST", "/upsets/vibration_stuck", raw=b"x" * (api.BODY_BYTES_MAX + 1))
        assert answer.status == 413
        reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
        writer.write(
            b"POST /upsets/vibration_stuck HTTP/1.1\r\nHost: localhost\r\n"
            b"Connection: close\r\nContent-Length: 9\r\n\r\n"
        )
        async with asyncio.timeout(api.BODY_TIMEOUT_S + 1):
            assert parse(await reader.read(-1)).status == 408
        writer.close()
        assert await desk.get("/ledger?kind=upset") == []
        assert (await desk.ask("POST", "/upsets/vibration_stuck", body={"any": "thing"})).status == 202

    served(script)


def test_pages_of_others_may_not_upset_the_plant_and_our_own_may() -> None:
    async def script(desk: Desk) -> None:
        foreign = await desk.ask("POST", "/upsets/vibration_stuck", origin="http://example.com")
        assert foreign.status == 403
        await asyncio.sleep(1)
        assert await desk.get("/ledger?kind=upset") == []
        headers = {"origin": f"http://127.0.0.1:{desk.port}", "accept": "text/html,*/*"}
        own = await desk.ask("POST", "/upsets/vibration_stuck", **headers)
        assert (own.status, own.headers["location"]) == (303, "/")
        await asyncio.sleep(1)
        assert len(await desk.get("/ledger?kind=upset")) == 1

    served(script)


def test_the_page_shows_the_line_and_runs_no_script() -> None:
    async def script(desk: Desk) -> None:
        await desk.post("/upsets/filler_jams")
        await asyncio.sleep(3)
        answer = await desk.ask("GET", "/")
        page = answer.body.decode()
        for words in ("small", "filler", "<svg", "aborted (9)", "F0001", "/faults/F0001/repair", *UPSETS):
            assert words in page
        assert "in force" in page
        assert "<script" not in page
        assert "default-src 'none'" in answer.headers["content-security-policy"]

    served(script)
