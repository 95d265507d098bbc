"""A scenario as a bridge can be held to it: what it does not promise to do is not asked of it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from shakedown.bridge.config import Site
from shakedown.bridge.yamlfile import Marks, Reading
from shakedown.scenarios.bridges.model import Promises
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.setups import Setup

DERIVED = ("alarms", "oee", "cmms")
SPARKPLUG_FAULTS = ("rebirth_request",)


def as_promised(setup: Setup, promises: Promises) -> Setup:
    """The setup for a bridge with these promises. Raises UsageError where it cannot be had.

    Plain JSON has no rebirths: their requests are left out. A bridge that carries the vendor's values is judged by a
    site.yaml without conversions.
    """
    if promises.protocol == "json":
        setup = _without(setup, SPARKPLUG_FAULTS)
    return _in_vendor_values(setup) if promises.values == "vendor" else setup


def _without(setup: Setup, kinds: tuple[str, ...]) -> Setup:
    faults = tuple(fault for fault in setup.scenario.faults if fault.kind not in kinds)
    document = setup.documents["scenario"] | {
        "faults": [
            fault for fault in setup.documents["scenario"].get("faults", []) if fault["kind"] not in kinds
        ]
    }
    scenario = setup.scenario.model_copy(update={"faults": faults})
    return setup.model_copy(
        update={"scenario": scenario, "documents": setup.documents | {"scenario": document}}
    )


def _in_vendor_values(setup: Setup) -> Setup:
    if derived := [part for part in DERIVED if getattr(setup.site, part)]:
        raise UsageError(
            f"Scenario {setup.scenario.name} has {', '.join(derived)} in site.yaml, which are said in canonical "
            "values, and this bridge carries the vendor's. Give a scenario without them: wan_outage, wan_outage_fast."
        )
    types = {f"ns=2;s={spec.tag}": spec.type for _, _, spec in setup.plant.each_signal()}
    document: dict[str, Any] = deepcopy(setup.documents["site"])
    for assets in document["cells"].values():
        for asset in assets.values():
            for metric in asset["metrics"].values():
                unit = metric.pop("from", None)
                if unit is not None:
                    metric["unit"] = unit
                metric.pop("states", None)
                metric.pop("low", None)
                metric.pop("high", None)
                metric["type"] = types.get(metric["node"], metric["type"])
    site = Reading(document, Marks("site.yaml"), Site).settled()
    return setup.model_copy(update={"site": site, "documents": setup.documents | {"site": document}})
