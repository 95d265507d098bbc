"""The CMMS as a client sees it, on both clocks: orders, assets, idempotency, failures, its log."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from shakedown.twin.clock import now_ns, run
from shakedown.twin.enterprise.cmms.__main__ import main
from shakedown.twin.enterprise.cmms.export import write_log
from shakedown.twin.enterprise.cmms.failures import Failure
from shakedown.twin.enterprise.cmms.model import STATES, TRANSITIONS
from shakedown.twin.enterprise.cmms.server import Cmms
from shakedown.twin.enterprise.errors import LabServiceError
from shakedown.twin.network.memory import MemoryNetwork
from tests.twin.http_lab import CLOCKS, Answer, ask, new_order, with_cmms

on_both_clocks = pytest.mark.parametrize("clock", CLOCKS)


async def _change(cmms: Cmms, order: str, state: str, **more: str) -> Answer:
    return await ask(cmms.port, "PATCH", f"/work-orders/{order}", {"state": state, "by": "mia", **more})


@on_both_clocks
def test_a_work_order_from_its_creation_to_its_end(clock: str, tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        made = await ask(cmms.port, "POST", "/work-orders", new_order(by="bridge"))
        assert made.status == 201
        order = made.json
        assert order["id"] == "WO-000001"
        assert {key: order[key] for key in new_order()} == new_order()
        samples = order["context"][2]["samples"]
        assert samples[0][1] == 3
        assert isinstance(samples[0][1], int)  # a count does not become 3.0

        path = f"/work-orders/{order['id']}"
        for state in ("assigned", "in_progress", "completed", "closed"):
            changed = await _change(cmms, order["id"], state, assigned_to="crew")
            assert (changed.status, changed.json["state"]) == (200, state)
        comment = await ask(
            cmms.port, "POST", f"{path}/comments", {"by": "mia", "text": "valve <b>cleaned</b>"}
        )
        assert comment.status == 201
        attached = await ask(
            cmms.port, "POST", f"{path}/attachments?name=photo.jpg", raw=b"\xff\xd8\x00 picture"
        )
        assert (attached.status, attached.json["number"], attached.json["size"]) == (201, 1, 11)
        content = await ask(cmms.port, "GET", f"{path}/attachments/1")
        assert content.body == b"\xff\xd8\x00 picture"
        assert content.headers["content-disposition"] == "attachment"

        shown = (await ask(cmms.port, "GET", path)).json
        assert [state for _, state, _ in shown["history"]] == [
            "open",
            "assigned",
            "in_progress",
            "completed",
            "closed",
        ]
        assert shown["history"][0] == [order["created_ms"], "open", "bridge"]
        assert shown["assigned_to"] == "crew"
        assert [comment["text"] for comment in shown["comments"]] == ["valve <b>cleaned</b>"]
        assert [file["name"] for file in shown["attachments"]] == ["photo.jpg"]

    with_cmms(clock, tmp_path, script)


def test_every_transition_is_allowed_or_refused_as_the_table_says(tmp_path: Path) -> None:
    ways = {"open": []}  # how to bring an order into each state
    for state in STATES:
        for after in TRANSITIONS[state]:
            ways.setdefault(after, [*ways[state], after])
    assert set(ways) == set(STATES)

    async def script(cmms: Cmms) -> None:
        for state in STATES:
            for wanted in STATES:
                order = (await ask(cmms.port, "POST", "/work-orders", new_order())).json["id"]
                for step in ways[state]:
                    assert (await _change(cmms, order, step)).status == 200
                answer = await _change(cmms, order, wanted)
                is_allowed = wanted == state or wanted in TRANSITIONS[state]
                assert answer.status == (200 if is_allowed else 409), (state, wanted)
                after = (await ask(cmms.port, "GET", f"/work-orders/{order}")).json
                assert after["state"] == (wanted if is_allowed else state)
                # to name the present state again changes nothing
                assert len(after["history"]) == 1 + len(ways[state]) + (is_allowed and wanted != state)

    with_cmms("virtual", tmp_path, script)


@on_both_clocks
def test_a_key_gives_the_same_answer_again_and_refuses_another_request(clock: str, tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        first = await ask(cmms.port, "POST", "/work-orders", new_order(), idempotency_key="k1")
        again = await ask(cmms.port, "POST", "/work-orders", new_order(), idempotency_key="k1")
        assert (again.status, again.body) == (first.status, first.body)
        assert again.headers["idempotency-replayed"] == "true"
        other = await ask(cmms.port, "POST", "/work-orders", new_order(occurrence=2), idempotency_key="k1")
        assert other.status == 409
        elsewhere = await ask(cmms.port, "POST", "/assets", {"id": "P-1"}, idempotency_key="k1")
        assert elsewhere.status == 409
        assert len((await ask(cmms.port, "GET", "/work-orders")).json) == 1
        assert (await ask(cmms.port, "GET", "/assets")).json == []

        # what was refused is not remembered: the key is still free
        refused = await ask(cmms.port, "POST", "/assignments", _at("F", "P-1", 10), idempotency_key="k2")
        assert refused.status == 422
        assert (await ask(cmms.port, "POST", "/assets", {"id": "P-1"})).status == 201
        taken = await ask(cmms.port, "POST", "/assignments", _at("F", "P-1", 10), idempotency_key="k2")
        assert taken.status == 201

        # it holds over a restart, and each kind of POST has it
        await cmms.stop()
        await cmms.start()
        assert (
            await ask(cmms.port, "POST", "/work-orders", new_order(), idempotency_key="k1")
        ).body == first.body
        path = f"/work-orders/{first.json['id']}"
        for _ in range(2):
            assert (
                await ask(cmms.port, "POST", f"{path}/attachments?name=a", raw=b"abc", idempotency_key="k3")
            ).status == 201
            assert (
                await ask(
                    cmms.port, "POST", f"{path}/comments", {"by": "a", "text": "b"}, idempotency_key="k4"
                )
            ).status == 201
        order = (await ask(cmms.port, "GET", path)).json
        assert (len(order["attachments"]), len(order["comments"])) == (1, 1)
        other_file = await ask(
            cmms.port, "POST", f"{path}/attachments?name=b", raw=b"abc", idempotency_key="k3"
        )
        assert other_file.status == 409

    with_cmms(clock, tmp_path, script)


def _at(equipment: str, asset: str, from_ms: int, to_ms: int | None = None) -> dict[str, Any]:
    return {"equipment": equipment, "physical_asset": asset, "from_ms": from_ms, "to_ms": to_ms}


def test_an_order_names_the_asset_that_was_mounted_when_the_alarm_was_raised(tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        for asset in ("P-1", "P-2"):
            await ask(cmms.port, "POST", "/assets", {"id": asset, "description": "pump"})
        await ask(cmms.port, "POST", "/assignments", _at("PUMP", "P-1", 1_000))
        swap = await ask(cmms.port, "POST", "/assignments", _at("PUMP", "P-2", 5_000))
        assert swap.status == 201
        held = (await ask(cmms.port, "GET", "/assignments?equipment=PUMP")).json
        assert [(row["physical_asset"], row["from_ms"], row["to_ms"]) for row in held] == [
            ("P-1", 1_000, 5_000),
            ("P-2", 5_000, None),
        ]
        for raised_ms, asset in (
            (999, None),
            (1_000, "P-1"),
            (4_999, "P-1"),
            (5_000, "P-2"),
            (10**12, "P-2"),
        ):
            at = (await ask(cmms.port, "GET", f"/assignments?equipment=PUMP&at_ms={raised_ms}")).json
            assert [row["physical_asset"] for row in at] == ([asset] if asset else [])
            made = await ask(
                cmms.port, "POST", "/work-orders", new_order(equipment="PUMP", raised_ms=raised_ms)
            )
            assert made.json["physical_asset"] == asset
        named = await ask(
            cmms.port, "POST", "/work-orders", new_order(equipment="PUMP", physical_asset="P-1")
        )
        assert named.json["physical_asset"] == "P-1"  # the client's word, right or wrong
        unknown = await ask(cmms.port, "POST", "/work-orders", new_order(physical_asset="P-9"))
        assert unknown.status == 422
        for body in (_at("MIXER", "P-2", 6_000), _at("PUMP", "P-1", 4_000, 4_500), _at("PUMP", "P-2", 5_000)):
            assert (await ask(cmms.port, "POST", "/assignments", body)).status == 409, body
        assert (await ask(cmms.port, "POST", "/assignments", _at("MIXER", "P-1", 5_000, 6_000))).status == 201
        assert (await ask(cmms.port, "POST", "/assignments", _at("MIXER", "P-1", 7_000, 7_000))).status == 422
        assert (await ask(cmms.port, "POST", "/assets", {"id": "P-1"})).status == 409

    with_cmms("virtual", tmp_path, script)


def test_lists_are_filtered_and_come_in_pages(tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        for number in range(7):
            await ask(
                cmms.port, "POST", "/work-orders", new_order(occurrence=number, alarm=f"a&b {number % 2}")
            )
        await _change(cmms, "WO-000002", "assigned")
        ordinals, page = [], "/work-orders?limit=2&alarm=a%26b%200"
        while page:
            answer = await ask(cmms.port, "GET", page)
            ordinals += [order["occurrence"] for order in answer.json]
            link = answer.headers.get("link", "")
            page = link.partition("<")[2].partition(">")[0]
        assert ordinals == [0, 2, 4, 6]
        found = (await ask(cmms.port, "GET", "/work-orders?state=assigned&device=filler.filler_1")).json
        assert [order["id"] for order in found] == ["WO-000002"]

    with_cmms("virtual", tmp_path, script)


@on_both_clocks
def test_a_failure_before_the_commit_does_nothing_and_one_after_it_everything(
    clock: str, tmp_path: Path
) -> None:
    async def script(cmms: Cmms) -> None:
        patience_s = 0.2 if clock == "wall" else 30.0

        async def post(occurrence: int) -> int | None:
            """The status of the answer, None for none in time."""
            try:
                order = new_order(occurrence=occurrence)
                return (await ask(cmms.port, "POST", "/work-orders", order, timeout_s=patience_s)).status
            except TimeoutError:
                return None

        outcomes = []
        for occurrence, (kind, when) in enumerate(
            [("error", "before"), ("error", "after"), ("time_out", "before"), ("time_out", "after")]
        ):
            cmms.failures.set(Failure(kind, when, status=502))
            outcomes.append(await post(occurrence))
            cmms.failures.heal()
        assert outcomes == [502, 502, None, None]
        there = [order["occurrence"] for order in (await ask(cmms.port, "GET", "/work-orders")).json]
        assert there == [1, 3]

        cmms.failures.set(Failure("error", requests=2, methods=frozenset({"POST"})))
        assert (await ask(cmms.port, "GET", "/work-orders")).status == 200
        assert [await post(9) for _ in range(3)] == [503, 503, 201]
        assert cmms.failures.struck == 6

    with_cmms(clock, tmp_path, script)


def test_a_held_request_is_let_go_when_the_failure_is_healed_or_lasts_too_long(tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        cmms.failures.set(Failure("time_out"))
        waiting = asyncio.create_task(ask(cmms.port, "GET", "/assets", timeout_s=100))
        await asyncio.sleep(20)
        assert not waiting.done()
        cmms.failures.heal()
        assert (await waiting).status == 504
        cmms.failures.set(Failure("time_out"))
        began_ns = now_ns()
        assert (await ask(cmms.port, "GET", "/assets", timeout_s=1000)).status == 504
        assert (now_ns() - began_ns) / 1e9 == pytest.approx(300, abs=1)

    with_cmms("virtual", tmp_path, script)


@pytest.mark.parametrize(
    "given", [{"kind": "explode"}, {"kind": "error", "status": 404}, {"kind": "error", "when": "x"}]
)
def test_a_failure_that_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="failure"):
        Failure(**given)


@on_both_clocks
def test_down_refuses_connections_and_keeps_everything(clock: str, tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        made = await ask(cmms.port, "POST", "/work-orders", new_order())
        cmms.failures.set(Failure("time_out"))
        held = asyncio.create_task(ask(cmms.port, "GET", "/assets", timeout_s=30))
        while not cmms.failures.struck:
            await asyncio.sleep(0)
            if clock == "wall":
                await asyncio.sleep(0.01)  # the request is on its way through the kernel
        await cmms.stop()
        await cmms.stop()
        assert (await held).status == 504
        with pytest.raises(ConnectionError):
            await ask(cmms.port, "GET", "/work-orders")
        await cmms.start()
        assert (await ask(cmms.port, "GET", f"/work-orders/{made.json['id']}")).body == made.body

    with_cmms(clock, tmp_path, script)


@on_both_clocks
def test_the_log_at_the_end_holds_every_order_as_a_client_reads_it(clock: str, tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> list[bytes]:
        for number in range(120):  # more than two pages
            await ask(cmms.port, "POST", "/work-orders", new_order(occurrence=number))
        url = f"http://127.0.0.1:{cmms.port}"
        assert await write_log(url, tmp_path / "cmms.jsonl") == 120
        shown = [
            (await ask(cmms.port, "GET", f"/work-orders/WO-{number:06}")).json for number in (1, 60, 120)
        ]
        await cmms.stop()
        with pytest.raises(LabServiceError, match="not whole"):
            await write_log(url, tmp_path / "half.jsonl")
        return shown

    shown = with_cmms(clock, tmp_path, script)
    lines = [json.loads(line) for line in (tmp_path / "cmms.jsonl").read_text().splitlines()]
    assert lines[-1][0] == "Z"
    assert lines[-1][2] == {"work_orders": 120}
    assert [lines[0], lines[59], lines[119]] == shown
    assert [line["occurrence"] for line in lines[:-1]] == list(range(120))
    assert b'"Z"' not in (tmp_path / "half.jsonl").read_bytes()


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        second = Cmms("127.0.0.1", cmms.port, database=tmp_path / "second.sqlite")
        with pytest.raises(LabServiceError, match=f"127.0.0.1:{cmms.port}"):
            await second.start()

    for clock in CLOCKS:
        with_cmms(clock, tmp_path, script)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    async def once(folder: Path) -> str:
        with MemoryNetwork(seed=3) as network:
            network.add_conduit("wan", ("site", "enterprise"), latency_ms=20, jitter_ms=5)
            cmms = Cmms("cmms", 8080, database=folder / "cmms.sqlite")
            host, bridge = network.add_host("cmms", "enterprise"), network.add_host("bridge", "site")
            await host.spawn(cmms.start())

            async def work() -> None:
                for number in range(5):
                    order = new_order(occurrence=number)
                    await ask(8080, "POST", "/work-orders", order, host="cmms", idempotency_key=f"k{number}")
                await write_log("http://cmms:8080", folder / "cmms.jsonl")

            await bridge.spawn(work())
            await host.spawn(cmms.stop())
            return network.trace_sha256()

    traces = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        traces.append(run(once(tmp_path / name), seed=3))
    assert traces[0] == traces[1]
    assert (tmp_path / "a/cmms.jsonl").read_bytes() == (tmp_path / "b/cmms.jsonl").read_bytes()


def test_alone_it_serves_on_loopback_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for host in ("0.0.0.0", "192.0.2.1"):
        with pytest.raises(SystemExit) as ended:
            main(["--host", host, "--port", "0", "--database", str(tmp_path / "cmms.sqlite")])
        assert ended.value.code == 2
        assert "loopback" in capsys.readouterr().err

    async def script(number: signal.Signals) -> None:
        command = [sys.executable, "-m", "shakedown.twin.enterprise.cmms", "--port", "0", "--database"]
        process = await asyncio.create_subprocess_exec(
            *command, str(tmp_path / "cmms.sqlite"), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
            port = int(line.strip().rpartition(":")[2])
            assert (await ask(port, "POST", "/work-orders", new_order())).status == 201
            process.send_signal(number)
            assert await process.wait() == 0

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.run(script(number))


def test_a_database_that_cannot_be_used_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "garbage").write_bytes(b"no database, and long enough to be looked at" * 100)
    for file in (tmp_path, tmp_path / "nowhere/cmms.sqlite", tmp_path / "garbage"):
        with pytest.raises(SystemExit) as ended:
            main(["--port", "0", "--database", str(file)])
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"the CMMS cannot use the database {file}: ")
        assert line.endswith("a new file in a folder that is yours.")
