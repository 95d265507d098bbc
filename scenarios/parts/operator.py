"""The operator, who acknowledges alarms."""

from __future__ import annotations

from shakedown.scenarios.parts.part import Ground
from shakedown.scenarios.parts.person import Person
from shakedown.scenarios.parts.plan import Plan
from shakedown.scenarios.parts.primary_host import PrimaryHostPart
from shakedown.twin.enterprise.edge_view import Row
from shakedown.twin.enterprise.people.operator import CommandButton, OperatorDesk


class OperatorPart(Person):
    """The operator before the alarm list of the primary host."""

    kind = "operator"
    what = "who sits at the primary host's alarm list and acknowledges"

    def __init__(self, plan: Plan, ground: Ground) -> None:
        super().__init__(plan, ground)
        self._desk: OperatorDesk | None = None

    async def run(self) -> None:
        if self._desk is None:  # later the list is still on the screen
            host = self.ground.find(PrimaryHostPart, self.line)
            self._desk = OperatorDesk(
                CommandButton(host.command), seed=self.ground.seed_of(self.line), log=self.log(), is_true=self._is_true,
                priorities=self._priorities(),
            )  # fmt: skip
            host.displays.append(self._show)
        await self._desk.run()

    def _show(self, edge: str, rows: list[Row]) -> None:
        """The list is that of one line; a primary host may serve several."""
        if self._desk is not None and edge == self.setup.edge:
            self._desk.show(edge, rows)

    def _is_true(self, device: str, alarm: str) -> bool:
        """What the operator finds out by looking: whether something is really the matter."""
        return any(alarm in fault.alarms for fault in self.open_faults().values())

    def _priorities(self) -> dict[tuple[str, str], str]:
        alarms = self.setup.site.alarms.items()
        return {(alarm.metric.rpartition("/")[0], name): alarm.priority for name, alarm in alarms}
