"""Floods and chattering of the whole bridge, through a crash in the middle of a flood."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.bridge.operations_rig import TEMPERATURE, Plant, with_plant


async def flap(plant: Plant, times: int) -> None:
    """The alarm `cold` comes and goes; it has no delays."""
    for _ in range(times):
        await plant.change((TEMPERATURE, -5.0))
        await asyncio.sleep(2)
        await plant.change((TEMPERATURE, 20.0))
        await asyncio.sleep(2)


def of_node(plant: Plant, name: str) -> list[Any]:
    return [value for _, value in plant.said(f"alarms/{name}", device="")]


def test_a_flood_goes_on_over_a_crash_and_ends_when_it_is_over(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await plant.begin()
        await flap(plant, 7)
        assert of_node(plant, "in_10_min") == [*range(1, 8)]
        await plant.crash()
        births = plant.watch.count("DBIRTH")
        plant.start()
        await plant.watch.until(lambda: plant.watch.count("DBIRTH") > births)
        await asyncio.sleep(2)
        await flap(plant, 5)
        await plant.until(lambda: of_node(plant, "flood") == [False, True])
        assert of_node(plant, "in_10_min") == [*range(1, 13)]
        assert of_node(plant, "chattering")[-1] == "cell.a/cold"
        figures = await plant.http("GET", "http://127.0.0.1:8090/alarms/figures", host="bridge")
        assert figures.json()["annunciations"] == 12
        await plant.crash()
        plant.start()
        await asyncio.sleep(700)  # nothing more happens: the bridge says by itself that it is over
        assert of_node(plant, "flood") == [False, True, False]
        assert of_node(plant, "in_10_min")[-1] == 0
        assert of_node(plant, "chattering")[-1] == ""

    with_plant(tmp_path, case)


def test_an_annunciation_is_written_down_with_its_count(tmp_path: Path) -> None:
    """Killed right after any of the first annunciations, the bridge has counted each of them once."""

    async def case(plant: Plant) -> None:
        await plant.begin()
        for number in range(1, 5):
            await plant.change((TEMPERATURE, -5.0))
            await plant.until(lambda n=number: len(plant.said("alarm/cold/occurrence")) == n)
            await plant.crash()
            births = plant.watch.count("DBIRTH")
            plant.start()
            await plant.watch.until(lambda n=births: plant.watch.count("DBIRTH") > n)
            await asyncio.sleep(2)
            await plant.change((TEMPERATURE, 20.0))
            await asyncio.sleep(2)
        assert of_node(plant, "in_10_min") == [1, 2, 3, 4]

    with_plant(tmp_path, case)
