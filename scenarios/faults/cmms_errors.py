"""The CMMS is there and fails: it answers 5xx, or it does the work and answers too late to be heard."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from shakedown.scenarios.faults.fault import Evidence, Fault, Targets
from shakedown.scenarios.faults.part_fault import LOOK_S
from shakedown.twin.enterprise.cmms.failures import Failure

Method = Literal["GET", "POST", "PATCH", "DELETE"]
METHODS: tuple[Method, ...] = ("GET", "POST", "PATCH", "DELETE")


class CmmsErrors(Fault):
    """The CMMS is there and fails: it answers 5xx, or it does the work and answers too late to be heard."""

    strikes: ClassVar[str] = "cmms"
    what: ClassVar[str] = (
        "`error` answers 5xx, `time_out` not at all; with `_after` the work is done all the same; `methods: [POST]` "
        "strikes only what is entered, so that an order is made and its answer lost; it is held open until a request "
        "has fallen into it, at the longest until the next fault of the CMMS or the end"
    )
    waits: ClassVar[bool] = True
    cuts: ClassVar[bool] = False
    look_s: ClassVar[float] = LOOK_S

    kind: Literal["cmms_errors"]
    how: Literal["error", "error_after", "time_out", "time_out_after"] = Field(
        default="error", description="Answer 5xx or nothing, `_after` with the work done"
    )
    status: int = Field(default=503, ge=500, le=599, description="Of an error's answer")
    methods: tuple[Method, ...] = Field(
        default=METHODS,
        min_length=1,
        description="Requests that are struck; [POST] lets a client read, and lose the answer to what it enters",
    )

    async def strike(self, targets: Targets) -> dict[str, Any]:
        failures = targets.part(self.target).failures
        kind: Literal["error", "time_out"] = "error" if self.how.startswith("error") else "time_out"
        when: Literal["before", "after"] = "after" if self.how.endswith("after") else "before"
        failures.set(Failure(kind, when, self.status, methods=frozenset(self.methods)))
        return {"struck": failures.struck}

    async def evidence(self, targets: Targets, before: dict[str, Any]) -> Evidence:
        cmms = targets.part(self.target)
        struck = cmms.failures.struck - int(before["struck"])
        answers = await cmms.answers(min(self.look_s, self.for_s / 2))
        silent = not answers or "GET" not in self.methods
        return Evidence(silent and struck > 0, {"answers_meanwhile": answers, "requests_struck": struck})

    async def heal(self, targets: Targets) -> None:
        targets.part(self.target).failures.heal()
