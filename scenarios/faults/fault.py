"""What every fault is: data in a scenario file, two verbs, and the evidence that it took effect."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from shakedown.twin.network.model import Conduit


class Struck(Protocol):
    """A part of the lab, as a fault has it at hand (scenarios/parts/part.py)."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def crash(self) -> None: ...
    async def freeze(self) -> None: ...
    async def thaw(self) -> None: ...
    async def answers(self, within_s: float = ...) -> bool: ...


class Watch(Protocol):
    """What watches a conduit (scenarios/parts/probe.py)."""

    def now(self) -> dict[str, float]: ...
    async def settled(self) -> dict[str, float]: ...
    def since(self, before: dict[str, float]) -> dict[str, float]: ...


class Targets(Protocol):
    """What there is to strike, by name (scenarios/lab.py)."""

    def part(self, name: str) -> Any: ...
    def conduit(self, name: str) -> Conduit: ...
    def probe(self, conduit: str) -> Watch: ...


@dataclass(slots=True)
class Evidence:
    """What was seen while the fault was in force."""

    verified: bool
    seen: dict[str, Any] = field(default_factory=dict)


class Fault(BaseModel, ABC):
    """One fault of a scenario: it strikes `target` at `at_s` after the start and is healed `for_s` later.

    `strikes` says what a target may be: `conduit`, `part` (of any kind that is no evidence), or a kind of part.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    strikes: ClassVar[str]
    what: ClassVar[str]  # one line for the documentation
    cuts: ClassVar[bool] = True  # whether freshness is judged without its duration
    hinders: ClassVar[bool] = True  # whether anything suffers at all, so that the judge makes allowances
    waits: ClassVar[bool] = False  # whether it is held open until something has fallen into it
    look_s: ClassVar[float] = 0.0  # how long before it is healed the evidence is looked for

    kind: str
    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name of this fault in timeline and report")
    target: str = Field(description="What is struck, by its name")
    at_s: float = Field(ge=0, description="Seconds after the start of the run")
    for_s: float = Field(gt=0, le=86_400, description="Seconds until it is healed")

    @property
    def asked(self) -> dict[str, Any]:
        """The parameters, for the timeline."""
        return self.model_dump(exclude={"id", "kind", "at_s", "for_s"})

    @abstractmethod
    async def strike(self, targets: Targets) -> dict[str, Any]:
        """Make it happen; returns what has to be remembered for `evidence`."""

    @abstractmethod
    async def evidence(self, targets: Targets, before: dict[str, Any]) -> Evidence:
        """Say, just before it is healed, whether it was seen to take effect."""

    @abstractmethod
    async def heal(self, targets: Targets) -> None:
        """Undo it."""
