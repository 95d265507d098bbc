"""The maintenance crew, which repairs."""

from __future__ import annotations

from shakedown.scenarios.parts.cmms import CmmsPart
from shakedown.scenarios.parts.line import LinePart
from shakedown.scenarios.parts.person import Person
from shakedown.twin.enterprise.people.crew import Crew, CrewParameters


class CrewPart(Person):
    """The maintenance crew."""

    kind = "crew"
    what = "the maintenance crew: takes orders from the CMMS, and repairs"
    begins_with_line = True

    async def run(self) -> None:
        line = self.ground.find(LinePart, self.line)
        assert line.line_ is not None
        cmms = self.ground.find(CmmsPart, self.line)
        crew = Crew(
            await cmms.url_from(self.plan.host),
            seed=self.ground.seed_of(self.line),
            log=self.log(),
            open_faults=self.open_faults,
            repair=line.line_.repair,
            tls=cmms.tls,
            parameters=CrewParameters(**self.setup.scenario.people.crew.model_dump()),
        )
        await crew.run()
