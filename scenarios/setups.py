"""A scenario as it is carried out: with its parts, and the plant and the site of each bridge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shakedown.bridge.config import Site
from shakedown.scenarios.parts.plan import Plan
from shakedown.scenarios.scenario import Scenario, Strict
from shakedown.twin.line.plant import Plant


class Setup(Strict):
    """A scenario with the plant and the site that a bridge runs on, overrides applied, and what each was read from.

    `name` is that of the bridge, `others` are the setups of the other bridges of the same run.
    """

    scenario: Scenario
    plant: Plant
    site: Site
    documents: dict[str, dict[str, Any]]  # scenario, plant, site: as data, to be written into the run folder
    plans: dict[str, Plan]
    name: str
    others: tuple[Setup, ...] = ()

    @property
    def bridges(self) -> dict[str, Setup]:
        """The setup of each bridge of the run, by its name."""
        return {setup.name: setup for setup in (self, *self.others)}

    @property
    def edge(self) -> str:
        """The edge node of its bridge, `group/node`."""
        return f"{self.site.group_id}/{self.site.line}"

    @property
    def broker(self) -> str:
        """The enterprise broker of its bridge, `host:port` as site.yaml names it."""
        return "{}:{}".format(*next(iter(self.site.north.values())).host_port)

    def each(self, change: Callable[[Setup], Setup]) -> Setup:
        """The same run with the setup of every bridge changed."""
        return change(self).model_copy(update={"others": tuple(map(change, self.others))})
