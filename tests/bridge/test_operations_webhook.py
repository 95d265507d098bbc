"""The CMMS calls the bridge: registered once, believed in nothing, missed by nobody."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.operations_rig import SITE, TEMPERATURE, Plant, with_plant
from tests.bridge.test_operations_config import problems

CMMS = 'cmms: {url: "http://cmms:8080", context_s: 60, timeout_s: 5'
HOOK = "webhook: {host: bridge, port: 9000}"
WITH_HOOK = SITE.replace(CMMS, f"{CMMS}, {HOOK}")


async def hooks(plant: Plant) -> list[dict[str, Any]]:
    return (await plant.http("GET", "http://cmms:8080/webhooks")).json()


async def opened(plant: Plant) -> str:
    """Raise the alarm; the id of the order that follows."""
    await plant.change((TEMPERATURE, 90.0))
    await plant.until(lambda: any(v.endswith("open") for _, v in plant.said("work_order/hot")))
    return plant.said("work_order/hot")[-1][1].split()[0]


async def told_after(plant: Plant, order: str, state: str) -> float:
    """Seconds from a change at the CMMS until the enterprise hears of it."""
    before = time.time()
    await plant.work(order, state)
    await plant.until(lambda: plant.said("work_order/hot")[-1][1] == f"{order} {state}")
    return time.time() - before


def test_a_change_at_the_cmms_is_known_at_once(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.begin()
        order = await opened(plant)
        for state in ("assigned", "in_progress", "completed"):
            await asyncio.sleep(3)
            assert await told_after(plant, order, state) < 2.5
        (hook,) = await hooks(plant)
        assert hook["url"].startswith("http://bridge:9000/hook/")
        assert plant.bridge.counters["webhook.hints"] == hook["delivered"] == 4

    with_plant(tmp_path, case, WITH_HOOK)


def test_it_is_registered_once_whatever_happens(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.fail("time_out_after")  # the webhook is made, and nobody is told
        await plant.begin()
        await asyncio.sleep(30)
        await plant.heal("time_out_after")
        await asyncio.sleep(60)
        (hook,) = await hooks(plant)
        await plant.crash()
        plant.start()
        await asyncio.sleep(10)
        assert await hooks(plant) == [hook]
        order = await opened(plant)
        assert await told_after(plant, order, "assigned") < 2.5

    with_plant(tmp_path, case, WITH_HOOK)


def test_one_that_was_removed_or_is_at_another_port_is_made_anew(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.begin()
        await asyncio.sleep(5)
        (hook,) = await hooks(plant)
        for _ in range(3):  # a CMMS may give the same number again
            await plant.http("DELETE", f"http://cmms:8080/webhooks/{hook['id']}")
            assert await hooks(plant) == []
            await asyncio.sleep(70)
            (again,) = await hooks(plant)
            assert (again["created_ms"] > hook["created_ms"], again["url"]) == (True, hook["url"])
        await plant.crash()
        (plant.folder / "site.yaml").write_text(WITH_HOOK.replace("port: 9000", "port: 9001"))
        plant.start()
        await asyncio.sleep(10)
        (moved,) = await hooks(plant)
        assert moved["url"] == hook["url"].replace("9000", "9001")

    with_plant(tmp_path, case, WITH_HOOK)


def test_a_call_without_the_secret_does_nothing_and_one_with_it_is_only_a_hint(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.begin()
        order = await opened(plant)
        (hook,) = await hooks(plant)
        lie = {"event": "work_order.changed", "work_order": {"id": order, "state": "closed", "history": []}}
        before = plant.bridge.counters
        for url, status in (
            ("http://bridge:9000/hook/guess", 404), ("http://bridge:9000/hook/%ff%00", 404),
            ("http://bridge:9000/", 404), (hook["url"] + "/more", 404),
        ):  # fmt: skip
            assert (await plant.http("POST", url, lie)).status_code == status
        assert (await plant.http("GET", hook["url"])).status_code == 405
        assert plant.bridge.counters["webhook.hints"] == before["webhook.hints"]
        for _ in range(50):  # a storm: the CMMS is asked once a second at most
            assert (await plant.http("POST", hook["url"], lie)).status_code == 204
        await asyncio.sleep(5)
        assert plant.said("work_order/hot")[-1][1] == f"{order} open"
        assert plant.bridge.counters["webhook.hints"] == before["webhook.hints"] + 50

    with_plant(tmp_path, case, WITH_HOOK)


def test_without_the_webhook_polling_goes_on(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.begin()
        order = await opened(plant)
        (hook,) = await hooks(plant)
        await plant.http("DELETE", f"http://cmms:8080/webhooks/{hook['id']}")
        assert await told_after(plant, order, "assigned") < 12

    with_plant(tmp_path, case, WITH_HOOK)


def test_a_cmms_without_webhooks_is_called_from_by_hand(tmp_path: Path) -> None:
    token = tmp_path / "hook.token"
    token.write_text("by-hand-0123456789\n")
    generic = (
        'adapter: generic, generic: {create: {method: POST, path: /work-orders, body: {equipment: "{equipment}",'
        ' alarm: "{alarm}", device: "{device}", occurrence: "{occurrence}", raised_ms: "{raised_ms}",'
        ' reason: "{reason}"}, id: id, state: state}, follow: {path: "/work-orders/{id}", id: id, state: state}}'
    )
    hook = HOOK.replace("}", f", token_file: {token}}}")

    async def case(plant: Plant) -> None:
        await plant.begin()
        order = await opened(plant)
        assert await hooks(plant) == []
        await plant.http(
            "POST", "http://cmms:8080/webhooks", {"url": "http://bridge:9000/hook/by-hand-0123456789"}
        )
        await asyncio.sleep(3)
        assert await told_after(plant, order, "assigned") < 2.5

    with_plant(tmp_path, case, SITE.replace(CMMS, f"{CMMS}, {generic}, {hook}"))


def test_what_contradicts_is_refused(tmp_path: Path) -> None:
    calls = 'generic: {create: {path: "/x", id: id}, follow: {path: "/x/{id}"}}, adapter: generic'
    (found,) = problems(tmp_path, (CMMS, f"{CMMS}, {HOOK}, {calls}"))
    assert "cmms.webhook.token_file: is missing: a generic CMMS is told by hand where to call" in found
    (found,) = problems(tmp_path, (CMMS, f"{CMMS}, token_file: x"))
    assert "cmms.url: would carry the token in clear text ('http://cmms:8080') - write https://" in found
    (found,) = problems(tmp_path, (CMMS, f"{CMMS}, tls: {{ca: x}}"))
    assert "cmms.tls: is for https only" in found
    (found,) = problems(tmp_path, (CMMS, f"{CMMS}, webhook: {{url: bridge}}"))
    assert "cmms.webhook.url: is not an HTTP address ('bridge') - write it as http://bridge:8091" in found


@pytest.mark.parametrize("part", ["admin", "webhook"])
def test_a_port_in_use_is_told_in_a_paragraph(tmp_path: Path, part: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        given = f"{part}: {{host: 127.0.0.1, port: {port}}}"
        hook, admin = (given, "") if part == "webhook" else ("", given)
        document = WITH_HOOK.replace(f", {HOOK}", hook and f", {hook}").replace("admin: {port: 8090}", admin)
        (tmp_path / "site.yaml").write_text(document)
        command = [sys.executable, "-m", "shakedown.bridge", "run", str(tmp_path / "site.yaml")]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    text = (
        f"error: {part}: cannot listen on 127.0.0.1:{port} - give it an address of this host and a free port"
    )
    assert ended.stderr.splitlines()[-1] == text
