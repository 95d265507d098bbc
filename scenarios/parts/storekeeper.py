"""The storekeeper, who knows which asset is where."""

from __future__ import annotations

from shakedown.scenarios.parts.cmms import CmmsPart
from shakedown.scenarios.parts.line import LinePart
from shakedown.scenarios.parts.person import Person
from shakedown.twin.enterprise.people.storekeeper import Storekeeper
from shakedown.twin.line.header import described


class StorekeeperPart(Person):
    """The storekeeper, who enters assets and where they are."""

    kind = "storekeeper"
    what = "who enters assets in the CMMS, and where they are"
    begins_with_line = True

    async def run(self) -> None:
        start_ns = self.ground.find(LinePart, self.line).begins_ns
        assets = described(self.setup.plant, start_ns)["assets"]
        cmms = self.ground.find(CmmsPart, self.line)
        await Storekeeper(await cmms.url_from(self.plan.host), assets, tls=cmms.tls).run()
