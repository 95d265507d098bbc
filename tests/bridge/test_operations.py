"""The whole bridge on a shift: alarms, people's commands, work orders, OEE, through restarts and outages."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from shakedown.bridge.app import Parts
from shakedown.bridge.journal.errors import JournalFull
from shakedown.bridge.journal.journal import Journal
from tests.bridge.operations_rig import (
    GOOD,
    PRESSURE,
    REJECT,
    SITE,
    STATE,
    TEMPERATURE,
    TOTAL,
    Plant,
    with_plant,
)  # fmt: skip


def states(plant: Plant, name: str = "alarm/hot") -> list[str]:
    return [value for _, value in plant.said(name)]


def test_an_alarm_goes_from_the_machine_to_the_closed_order(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.begin()
        hot_ms = await plant.change((TEMPERATURE, 90.5))
        await asyncio.sleep(2)
        pressed_ms = await plant.change((PRESSURE, 2.5))
        await plant.until(lambda: plant.said("alarm/hot"))
        assert plant.said("alarm/hot") == [(hot_ms + 5000, "unacked")]
        assert plant.said("alarm/hot/occurrence") == [(hot_ms + 5000, 1)]
        await plant.command("alarm/hot/ack", "kim")
        await plant.until(lambda: len(states(plant)) == 2)
        await plant.until(lambda: any("WO" in v or "open" in v for v in states(plant, "work_order/hot")))
        (order,) = await plant.orders()
        assert (order["equipment"], order["physical_asset"], order["owner"]) == (
            "ACME-A",
            "PUMP-1",
            "mechanics",
        )
        assert (order["device"], order["alarm"], order["occurrence"]) == ("cell.a", "hot", 1)
        assert (order["priority"], order["raised_ms"]) == ("high", hot_ms + 5000)
        assert order["reason"] == {
            "metric": "cell.a/temperature", "limit": 80.0, "value": 90.5, "unit": "CEL", "text": "Bearing too hot",
        }  # fmt: skip
        context = {signal["metric"]: signal["samples"] for signal in order["context"]}
        assert list(context) == ["cell.a/temperature", "cell.a/state", "cell.a/pressure"]
        assert [s[1] for s in context["cell.a/temperature"] if s[2] == 192][-2:] == [20.0, 90.5]
        assert context["cell.a/pressure"][-1] == [pressed_ms, 2.5, 192]
        assert context["cell.a/state"][-1][1] == "run"
        await plant.work(order["id"], "in_progress", "completed", "closed")
        await plant.change((TEMPERATURE, 20.0))
        await plant.until(lambda: states(plant) == ["unacked", "acked", "normal"])
        await plant.until(lambda: states(plant, "work_order/hot")[-1] == f"{order['id']} closed")
        assert plant.said("alarm/hot/ack")[0][1] == "kim"
        assert not plant.bridge._journal.entries("bridge/order/")
        await plant.change((TEMPERATURE, 99.0))  # a new fault gets an order of its own
        await asyncio.sleep(15)
        assert len(await plant.orders()) == 2

    with_plant(tmp_path, case)


def test_people_may_use_http_and_are_told_what_is_wrong(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.begin()
        await plant.change((TEMPERATURE, 90.0))
        await plant.until(lambda: plant.said("alarm/hot"))
        base = "http://127.0.0.1:8090/alarms/cell.a/hot"
        until_ms = time.time_ns() // 1_000_000 + 20_000
        shelf = {"operator": "kim", "until_ms": until_ms, "reason": "sensor is being changed"}
        steps = [
            ("remove", {"operator": "kim"}, 409), ("return", {"operator": "kim"}, 409),
            ("ack", {"operator": "kim"}, 200), ("ack", {"operator": "kim"}, 409), ("ack", {}, 400),
            ("ack", {"operator": 7}, 400), ("shelve", {"operator": "kim", "until_ms": 5, "reason": "x"}, 409),
            ("shelve", shelf, 200), ("dance", {"operator": "kim"}, 409), ("ack", {"operator": "k" * 5000}, 413),
        ]  # fmt: skip
        for verb, body, status in steps:
            answer = await plant.http("POST", f"{base}/{verb}", body, host="bridge")
            assert answer.status_code == status, (verb, body, answer.text)
        missing = await plant.http(
            "POST", base.replace("hot", "x") + "/ack", {"operator": "kim"}, host="bridge"
        )
        assert missing.status_code == 404
        assert "no alarm 'x'" in missing.json()["detail"]
        shown = (await plant.http("GET", "http://127.0.0.1:8090/alarms", host="bridge")).json()
        assert [(a["name"], a["state"], a["active"]) for a in shown] == [
            ("hot", "shelved", True), ("cold", "normal", False), ("hot_bad", "normal", False),
        ]  # fmt: skip
        assert (
            shown[0].items()
            >= {"cause": "cooling lost", "response": "open the valve", "respond_s": 300}.items()
        )
        figures = await plant.http("GET", "http://127.0.0.1:8090/alarms/figures", host="bridge")
        assert figures.json()["annunciations"] == 1
        (order,) = (await plant.http("GET", "http://127.0.0.1:8090/work-orders", host="bridge")).json()
        assert (order["alarm"], order["equipment"]) == ("hot", "ACME-A")
        await plant.until(lambda: len(states(plant)) == 4)
        assert states(plant) == [
            "unacked",
            "acked",
            "shelved",
            "unacked",
        ]  # the shelf life ended, and it stands
        assert plant.said("alarm/hot")[-1][0] == until_ms
        (said,) = [json.loads(value) for _, value in plant.said("alarm/hot/shelve")]
        assert said == shelf
        removed = shelf | {"until_ms": until_ms + 3_600_000}
        await plant.command("alarm/hot/remove", json.dumps(removed))  # over Sparkplug too
        await plant.until(lambda: states(plant)[-1] == "out_of_service")
        answer = await plant.http("POST", f"{base}/return", {"operator": "lee"}, host="bridge")
        assert answer.status_code == 200
        await plant.until(lambda: states(plant)[-1] == "unacked")
        said = [json.loads(value) for _, value in plant.said("alarm/hot/remove")]
        assert said == [removed, {"operator": "lee", "reason": "", "until_ms": 0}]

    with_plant(tmp_path, case)


def test_nonsense_commands_change_nothing(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.begin()
        for name, value in (
            ("alarm/hot/ack", "kim"), ("alarm/hot/ack", ""), ("alarm/hot/shelve", "{"), ("alarm/hot/shelve", "[]"),
            ("alarm/hot/shelve", '{"operator": "kim", "until_ms": "x", "reason": ""}'), ("alarm/hot", "acked"),
            ("temperature", "1"), ("alarm/no/ack", "kim"), ("alarm/hot/ack", "k" * 2000),
        ):  # fmt: skip
            await plant.command(name, value)
        await asyncio.sleep(2)
        counters = plant.bridge.counters
        assert counters["commands_refused"] == 6
        assert counters["north.enterprise.commands_ignored"] == 3
        assert states(plant) == []

    with_plant(tmp_path, case)


@pytest.mark.parametrize("crash_at_s", [3.0, 5.5, 7.5, 12.0])
def test_a_crash_neither_loses_nor_repeats_an_alarm_or_an_order(crash_at_s: float, tmp_path: Path) -> None:
    """Within the on-delay, before and after the order was sent."""

    async def case(plant: Plant) -> None:
        await plant.begin()
        hot_ms = await plant.change((TEMPERATURE, 90.0))
        await asyncio.sleep(crash_at_s)
        await plant.crash()
        births = plant.watch.count("DBIRTH")
        plant.start()
        await plant.watch.until(lambda: plant.watch.count("DBIRTH") > births)
        await asyncio.sleep(30)
        assert plant.said("alarm/hot") == [(hot_ms + 5000, "unacked")]
        (order,) = await plant.orders()
        assert [s[1] for s in order["context"][0]["samples"] if s[2] == 192][-2:] == [20.0, 90.0]
        assert order["raised_ms"] == hot_ms + 5000
        await plant.work(order["id"], "in_progress", "completed", "closed")
        await plant.until(lambda: not plant.bridge._journal.entries("bridge/order/"))

    with_plant(tmp_path, case)


@pytest.mark.parametrize("kind", ["time_out_after_commit", "time_out_before_commit", "5xx", "down"])
def test_whatever_the_cmms_does_there_is_exactly_one_order(kind: str, tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.begin()
        await plant.fail(kind)
        await plant.change((TEMPERATURE, 90.0))
        await asyncio.sleep(60)
        assert plant.bridge.counters["work_orders.unavailable"] > 1
        await plant.crash()
        plant.start()
        await asyncio.sleep(10)
        await plant.heal(kind)
        await asyncio.sleep(60)
        (order,) = await plant.orders()
        assert order["physical_asset"] == "PUMP-1"
        assert states(plant, "work_order/hot")[-1] == f"{order['id']} open"

    with_plant(tmp_path, case)


def test_the_asset_is_the_one_that_was_there_when_the_alarm_was_raised(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.begin()
        await plant.assign("PUMP-2", time.time_ns() // 1_000_000)
        await plant.fail("down")
        await plant.change((TEMPERATURE, 90.0))
        await asyncio.sleep(20)
        swapped_ms = time.time_ns() // 1_000_000
        await plant.heal("down")
        await plant.assign("PUMP-3", swapped_ms)
        await asyncio.sleep(40)
        (order,) = await plant.orders()
        assert order["physical_asset"] == "PUMP-2"

    with_plant(tmp_path, case)


def test_the_minutes_before_an_alarm_are_kept_however_long_the_cmms_is_down(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.begin()
        await plant.fail("down")
        for pressure in range(20):
            await plant.change((PRESSURE, float(pressure)))
            await asyncio.sleep(1)
        await plant.change((TEMPERATURE, 90.0))
        for pressure in range(100, 400):
            await plant.change((PRESSURE, float(pressure)))
            await asyncio.sleep(1)
        await plant.heal("down")
        await asyncio.sleep(60)
        (order,) = await plant.orders()
        (context,) = [row for row in order["context"] if row["metric"] == "cell.a/pressure"]
        assert [value for _, value, _ in context["samples"]][-26:-6] == [float(n) for n in range(20)]

    with_plant(tmp_path, case)


def test_an_order_waits_for_the_way_to_the_cmms_too(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.begin()
        wan = plant.network.conduit("wan")
        await wan.blackhole()
        hot_ms = await plant.change((TEMPERATURE, 90.0))
        await asyncio.sleep(40)
        await wan.heal()
        await plant.until(
            lambda: states(plant, "work_order/hot")[-1:] and "open" in states(plant, "work_order/hot")[-1]
        )
        assert len(await plant.orders()) == 1
        assert plant.said("alarm/hot") == [(hot_ms + 5000, "unacked")]

    with_plant(tmp_path, case)


def test_what_a_full_disk_kept_back_is_said_once_and_with_its_time(tmp_path: Path) -> None:
    class Full(Journal):
        failing = False

        async def append(self, samples, entries=None):
            if type(self).failing:
                raise JournalFull("disk is full", self.path, "Free space.")
            return await super().append(samples, entries)

    async def case(plant: Plant) -> None:
        await plant.begin(Parts(journal=Full))
        Full.failing = True
        hot_ms = await plant.change((TEMPERATURE, 90.0))
        await asyncio.sleep(10)
        cool_ms = await plant.change((TEMPERATURE, 10.0))
        await asyncio.sleep(10)
        assert states(plant) == []
        Full.failing = False
        await plant.until(lambda: len(states(plant)) == 2)
        assert plant.said("alarm/hot") == [(hot_ms + 5000, "unacked"), (cool_ms + 3000, "rtn_unacked")]
        await asyncio.sleep(10)
        assert len(await plant.orders()) == 1

    with_plant(tmp_path, case)


def test_oee_is_published_with_its_lineage_and_closes_with_the_shift(tmp_path: Path) -> None:
    """The day begins at 6:00 (START): two minutes early shift, of which the first seconds are unknown."""

    async def case(plant: Plant) -> None:
        await plant.begin()
        begun_ms = time.time_ns() // 1_000_000 - 1000
        await asyncio.sleep(30)
        stop_ms = await plant.change((STATE, 9), (TOTAL, 10), (GOOD, 9), (REJECT, 1))
        await asyncio.sleep(20)
        await plant.crash()
        plant.start()
        await asyncio.sleep(5)
        go_ms = await plant.change((STATE, 6))
        await asyncio.sleep(10)
        await plant.change((TOTAL, 3), (GOOD, 3), (REJECT, 0))  # the PLC was reset
        await plant.until(lambda: any(r["status"] == "closed" for r in plant.reports()))
        closed = next(r for r in plant.reports() if r["status"] == "closed")
        end_ms = closed["to_ms"]
        assert (closed["shift"], closed["pbt_s"], end_ms - closed["from_ms"]) == ("early", 120.0, 120_000)
        assert (closed["produced"], closed["good"], closed["reject"]) == (13, 12, 1)
        assert (
            closed["adet_s"] == (go_ms - stop_ms) / 1000 == closed["unplanned_downtime_s"] == closed["mttr_s"]
        )
        assert closed["apt_s"] == pytest.approx((stop_ms - begun_ms + end_ms - go_ms) / 1000, abs=0.01)
        assert closed["effectiveness"] == 26 / closed["apt_s"]
        assert closed["lineage"]["tags"]["produced"] == "plc1 ns=2;s=TOTAL"
        assert (end_ms, closed["oee"]) in plant.said("oee/line1/oee", device="")
        assert sum(r["status"] == "closed" for r in plant.reports()) == 1

    with_plant(tmp_path, case)


def test_an_outage_over_the_end_of_the_shift_restates_it(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.begin()
        await plant.change((TOTAL, 5), (GOOD, 5))
        await asyncio.sleep(60)
        cell = plant.network.conduit("cell")
        await cell.stall()
        await asyncio.sleep(30)
        await plant.change((TOTAL, 20), (GOOD, 18))
        await asyncio.sleep(40)
        assert [r["produced"] for r in plant.reports() if r["status"] == "closed"] == [5]
        await cell.heal()
        await plant.until(lambda: any(r["status"] == "restated" for r in plant.reports()))
        restated = next(r for r in plant.reports() if r["status"] == "restated")
        assert (restated["shift"], restated["produced"], restated["good"]) == ("early", 20, 18)

    with_plant(tmp_path, case)


def test_a_sensor_that_stays_bad_calls_though_its_alarms_cannot(tmp_path: Path) -> None:
    """It was beyond its limit for three of five seconds; a crash in between forgets neither them nor the minute."""

    async def case(plant: Plant) -> None:
        await plant.begin()
        await plant.change((TEMPERATURE, 90.0))
        await asyncio.sleep(3)
        bad_ms = await plant.change((TEMPERATURE, None), status=0x808A0000)
        await asyncio.sleep(30)
        await plant.crash()
        births = plant.watch.count("DBIRTH")
        plant.start()
        await plant.watch.until(lambda: plant.watch.count("DBIRTH") > births)
        await plant.until(lambda: plant.said("alarm/hot_bad"))
        assert plant.said("alarm/hot_bad") == [(bad_ms + 60_000, "unacked")]
        assert states(plant) == []
        good_ms = await plant.change((TEMPERATURE, 91.0))
        await plant.until(lambda: states(plant) == ["unacked"])
        assert plant.said("alarm/hot")[0][0] == good_ms + 2_000

    with_plant(tmp_path, case)


def test_suppression_by_the_machines_state(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.begin()
        await plant.change((STATE, 4))
        await asyncio.sleep(1)
        await plant.change((TEMPERATURE, -5.0))
        await asyncio.sleep(1)
        run_ms = await plant.change((STATE, 6))
        await plant.until(lambda: len(states(plant, "alarm/cold")) == 2)
        assert states(plant, "alarm/cold") == ["suppressed", "unacked"]
        assert plant.said("alarm/cold")[-1][0] == run_ms

    with_plant(tmp_path, case)


GENERIC = """\
cmms:
  url: http://cmms:8080
  context_s: 60
  adapter: generic
  generic:
    asset: {path: "/assignments?equipment={equipment}&at_ms={raised_ms}", asset: 0.physical_asset}
    create:
      method: POST
      path: /work-orders
      body: {equipment: "{equipment}", physical_asset: "{physical_asset}", alarm: "{alarm}", device: "{device}",
             occurrence: "{occurrence}", raised_ms: "{raised_ms}", reason: "{reason}", context: "{context}",
             by: "bridge of {owner}"}
      id: id
      state: state
    follow: {path: "/work-orders/{id}", id: id, state: state}
"""


def test_another_cmms_is_configuration(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.begin()
        await plant.change((TEMPERATURE, 90.0))
        await plant.until(
            lambda: states(plant, "work_order/hot")[-1:] and "open" in states(plant, "work_order/hot")[-1]
        )
        (order,) = await plant.orders()
        assert (order["physical_asset"], order["reason"]["value"], order["history"][0][2]) == (
            "PUMP-1", 90.0, "bridge of mechanics",
        )  # fmt: skip
        await plant.work(order["id"], "cancelled")
        await plant.until(lambda: states(plant, "work_order/hot")[-1].endswith("cancelled"))

    begin, end = SITE.index("cmms:"), SITE.index("equipment:")
    with_plant(tmp_path, case, SITE[:begin] + GENERIC + SITE[end:])
