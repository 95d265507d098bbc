"""The CMMS fails: it is down, it answers 5xx, or it does the work and answers too late to be heard."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from shakedown.scenarios.faults.fault import Evidence, Fault, Ground
from shakedown.twin.enterprise.cmms.failures import Failure

Method = Literal["GET", "POST", "PATCH", "DELETE"]
METHODS: tuple[Method, ...] = ("GET", "POST", "PATCH", "DELETE")


class CmmsDown(Fault):
    """The CMMS fails: it is down, it answers 5xx, or it does the work and answers too late to be heard."""

    kind: Literal["cmms_down"]
    cut = False
    affects: ClassVar[tuple[str, ...]] = ("cmms",)
    how: Literal["down", "error", "error_after", "time_out", "time_out_after"] = Field(
        default="down",
        description="down: connections are refused; the others answer 5xx or nothing, `_after` with the work done",
    )
    status: int = Field(default=503, ge=500, le=599, description="Of an error's answer")
    methods: tuple[Method, ...] = Field(
        default=METHODS,
        min_length=1,
        description="Requests that are struck; [POST] lets a client read, and lose the answer to what it enters",
    )

    @property
    def what(self) -> str:
        return "CMMS"

    async def strike(self, ground: Ground) -> dict[str, Any]:
        cmms = ground.cmms()
        if self.how == "down":
            await cmms.stop()
        else:
            kind: Literal["error", "time_out"] = "error" if self.how.startswith("error") else "time_out"
            when: Literal["before", "after"] = "after" if self.how.endswith("after") else "before"
            cmms.failures.set(Failure(kind, when, self.status, methods=frozenset(self.methods)))
        return {"struck": cmms.failures.struck}

    async def evidence(self, ground: Ground, before: dict[str, Any]) -> Evidence:
        struck = ground.cmms().failures.struck - int(before["struck"])
        answers = await ground.cmms().answers()
        seen = {"answers_meanwhile": answers, "requests_struck": struck}
        silent = not answers or (self.how != "down" and "GET" not in self.methods)
        return Evidence(silent and (self.how == "down" or struck > 0), seen)

    async def heal(self, ground: Ground) -> None:
        if self.how == "down":
            await ground.cmms().start()
        else:
            ground.cmms().failures.heal()
