"""The maintenance crew on both clocks, with a real CMMS: what it repairs, what it writes down, what an outage costs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shakedown.twin.clock import now_ns
from shakedown.twin.enterprise.cmms.failures import Failure
from shakedown.twin.enterprise.cmms.server import Cmms
from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.enterprise.people.crew import Crew, CrewParameters
from tests.twin.http_lab import CLOCKS, ask, new_order, with_cmms

HOOK_PORT = 18_077


@dataclass
class Fault:
    alarms: list[str]
    maintenance: bool = True
    stopped: bool = True
    repair_s: float = 300.0


@dataclass
class Machines:
    """What of a line the crew touches."""

    open: dict[str, Fault] = field(default_factory=dict)
    repaired: list[str] = field(default_factory=list)
    goes_away: bool = False

    def repair(self, fault: str) -> None:
        if self.goes_away:
            self.open.clear()
        if fault not in self.open:
            raise LookupError(fault)
        del self.open[fault]
        self.repaired.append(fault)


@dataclass
class Shop:
    cmms: Cmms
    machines: Machines
    crew: Crew

    async def order(self, **changes: Any) -> str:
        return (await ask(self.cmms.port, "POST", "/work-orders", new_order(**changes))).json["id"]

    async def until_closed(self, *orders: str, step_s: float) -> list[dict[str, Any]]:
        async with asyncio.timeout(3600):
            while True:
                shown = [(await ask(self.cmms.port, "GET", f"/work-orders/{order}")).json for order in orders]
                if all(order["state"] == "closed" for order in shown):
                    return shown
                await asyncio.sleep(step_s)


async def until(condition: Callable[[], object], step_s: float = 1.0) -> None:
    """Wait for what the crew does by itself; TimeoutError after an hour."""
    async with asyncio.timeout(3600):
        while not condition():  # noqa: ASYNC110 (the crew tells nobody what it has in mind)
            await asyncio.sleep(step_s)


def at_work(
    clock: str,
    folder: Path,
    script: Callable[[Shop], Awaitable[None]],
    parameters: CrewParameters,
    machines: Machines,
    **options: Any,
) -> list[list[Any]]:
    """Run `script` beside a crew at work; the records of people.jsonl."""

    async def main(cmms: Cmms) -> None:
        log = JsonLines(folder / "people.jsonl")
        crew = Crew(
            f"http://127.0.0.1:{cmms.port}",
            seed=7,
            log=log,
            open_faults=lambda: machines.open,
            repair=machines.repair,
            parameters=parameters,
            **options,
        )
        running = asyncio.create_task(crew.run())
        try:
            await script(Shop(cmms, machines, crew))
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            log.close(now_ns())

    with_cmms(clock, folder, main)
    return [json.loads(line) for line in (folder / "people.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("clock", CLOCKS)
def test_an_order_is_travelled_to_repaired_and_closed(clock: str, tmp_path: Path) -> None:
    speed = 1.0 if clock == "virtual" else 0.001
    machines = Machines(
        {"F0001": Fault(["bowl_temperature_high"], repair_s=300 * speed), "F0002": Fault(["other"])}
    )
    given = CrewParameters(poll_s=30 * speed, travel_median_s=120 * speed)

    async def script(shop: Shop) -> None:
        [order] = await shop.until_closed(await shop.order(), step_s=10 * speed)
        assert [state for _, state, _ in order["history"]] == [
            "open",
            "assigned",
            "in_progress",
            "completed",
            "closed",
        ]
        assert {by for _, state, by in order["history"] if state != "open"} == {"crew 1"}
        assert [comment["text"] for comment in order["comments"]] == ["repaired F0001"]
        times = [ms for ms, *_ in order["history"]]
        if clock == "virtual":
            assert 30_000 < times[2] - times[1] < 600_000  # the way
            assert times[3] - times[2] == pytest.approx(300_000, abs=100)
        assert list(machines.open) == ["F0002"]

    rows = at_work(clock, tmp_path, script, given, machines)
    [(tag, ns, kind, data)] = rows[:-1]
    assert (tag, kind, data["fault"], data["order"]) == ("K", "repair", "F0001", "WO-000001")
    assert (ns - data["begun_ns"]) / 1e9 >= 300 * speed
    assert rows[-1][0] == "Z"


def test_the_most_urgent_comes_first_and_two_people_share(tmp_path: Path) -> None:
    for people in (1, 2):
        folder = tmp_path / str(people)
        folder.mkdir()
        machines = Machines({name: Fault([name]) for name in ("a", "b", "c")})

        async def script(shop: Shop) -> None:
            orders = [
                await shop.order(alarm=alarm, priority=priority)
                for alarm, priority in (("a", "low"), ("b", "critical"), ("c", "high"))
            ]
            await shop.until_closed(*orders, step_s=30)

        rows = at_work("virtual", folder, script, CrewParameters(people=people), machines)
        assert sorted(machines.repaired) == ["a", "b", "c"]
        if people == 1:
            assert machines.repaired == ["b", "c", "a"]
        spans = [(row[3]["begun_ns"], row[1]) for row in rows[:-1]]
        overlap = sum(a[0] < b[1] and b[0] < a[1] for a in spans for b in spans if a is not b)
        assert bool(overlap) == (people == 2)


def test_a_false_alarm_and_a_fault_that_went_away_are_closed_too(tmp_path: Path) -> None:
    machines = Machines({"F1": Fault(["gone"]), "F2": Fault(["small"], maintenance=False)}, goes_away=True)

    async def script(shop: Shop) -> None:
        orders = [await shop.order(alarm=alarm) for alarm in ("small", "false", "gone")]
        shown = await shop.until_closed(*orders, step_s=30)
        assert [order["comments"][0]["text"] for order in shown[:2]] == ["found nothing to repair"] * 2
        assert (shop.crew.in_vain, shop.crew.repairs) == (2, 1)

    at_work("virtual", tmp_path, script, CrewParameters(), machines)
    assert machines.repaired == []


def test_a_webhook_brings_the_crew_before_it_would_have_looked(tmp_path: Path) -> None:
    assigned_ms = {}
    for name, options in {
        "polling": {},
        "webhook": {"listen": ("127.0.0.1", HOOK_PORT), "hook_url": f"http://127.0.0.1:{HOOK_PORT}/hook"},
    }.items():

        async def script(shop: Shop, name: str = name) -> None:
            await asyncio.sleep(100)
            [order] = await shop.until_closed(await shop.order(), step_s=30)
            assigned_ms[name] = order["history"][1][0] - order["created_ms"]

        folder = tmp_path / name
        folder.mkdir()
        machines = Machines({"F1": Fault(["bowl_temperature_high"])})
        at_work("virtual", folder, script, CrewParameters(poll_s=900), machines, **options)
    assert assigned_ms["webhook"] < 1_000
    assert assigned_ms["polling"] > 700_000


def test_hands_do_not_wait_for_the_cmms_and_papers_follow(tmp_path: Path) -> None:
    machines = Machines({"F1": Fault(["bowl_temperature_high"])})

    async def script(shop: Shop) -> None:
        order = await shop.order()
        await until(lambda: shop.crew._taken)
        shop.cmms.failures.set(Failure("time_out", "after"))  # done, but nobody is told
        await asyncio.sleep(60)
        await shop.cmms.stop()
        await until(lambda: machines.repaired)
        await shop.cmms.start()
        [shown] = await shop.until_closed(order, step_s=10)
        assert [state for _, state, _ in shown["history"]] == [
            "open",
            "assigned",
            "in_progress",
            "completed",
            "closed",
        ]
        assert len(shown["comments"]) == 1
        assert shop.crew.refused == 0

    at_work("virtual", tmp_path, script, CrewParameters(), machines)


def test_an_order_that_is_cancelled_under_way_is_given_up(tmp_path: Path) -> None:
    async def script(shop: Shop) -> None:
        order = await shop.order()
        await until(lambda: shop.crew._taken)
        await ask(shop.cmms.port, "PATCH", f"/work-orders/{order}", {"state": "cancelled", "by": "planner"})
        await asyncio.sleep(1800)
        assert shop.crew.refused == 3
        [again] = await shop.until_closed(await shop.order(occurrence=2), step_s=10)
        assert again["state"] == "closed"

    at_work("virtual", tmp_path, script, CrewParameters(), Machines())


@pytest.mark.parametrize("wrong", [{"people": 0}, {"poll_s": 0}, {"travel_median_s": -1}])
def test_a_crew_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="people"):
        CrewParameters(**wrong)
